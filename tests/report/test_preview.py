"""Waveforms and pictures of clips with known content."""

from pathlib import Path

import numpy as np
import pytest

from streammm.config import Config
from streammm.errors import SourceError
from streammm.media.options import Limits
from streammm.media.process import ProcessPool
from streammm.report.preview import MAX_PEAKS, MAX_PICTURES, Preview, find_media, link, preview
from tests.conftest import GREY_STEP, MakeClip


@pytest.fixture
def pool():
    pool = ProcessPool(Limits())
    yield pool
    pool.close()


def test_pictures_are_those_in_the_middle_of_equal_parts(clip: MakeClip, pool: ProcessPool) -> None:
    found = preview(clip("a.mp4", 5.0, clicks=[2.5]), 5.0, Config(), pool)
    assert found.pictures.shape == (10, 120, 160, 3)  # half a second each, no border
    levels = found.pictures.mean(axis=(1, 2, 3))
    assert levels == pytest.approx([GREY_STEP * (5 * n + 2) for n in range(10)], abs=3)


def test_the_waveform_peaks_where_the_click_is(clip: MakeClip, pool: ProcessPool) -> None:
    found = preview(clip("a.mp4", 5.0, clicks=[2.5]), 5.0, Config(), pool)
    assert len(found.peaks) == MAX_PEAKS
    assert abs(int(found.peaks.argmax()) - MAX_PEAKS // 2) <= 4
    assert found.peaks.max() > 200
    assert 15 <= np.median(found.peaks) <= 40  # a tone of 0.1


def test_sound_alone_and_pictures_alone(clip: MakeClip, pool: ProcessPool) -> None:
    assert preview(clip("a.m4a", 3.0, video=None), 3.0, Config(), pool).to_json().keys() == {"peaks"}
    assert preview(clip("b.mp4", 3.0, audio=None), 3.0, Config(), pool).to_json().keys() == {"pictures"}


def test_an_upright_picture_is_whole(clip: MakeClip, pool: ProcessPool) -> None:
    found = preview(clip("a.mp4", 2.0, size=(48, 96), grey=120), 2.0, Config(), pool)
    assert found.pictures.shape == (4, 160, 80, 3)
    assert found.pictures.min() > 100


def test_it_is_bounded_and_ends_with_the_rows(clip: MakeClip, pool: ProcessPool) -> None:
    path = clip("a.mp4", 130.0, rate=2)
    found = preview(path, 125.0, Config(), pool)  # long enough for key pictures only
    assert len(found.pictures) == MAX_PICTURES
    assert len(preview(path, 1.0, Config(), pool).pictures) == 2
    assert len(str(found.to_json())) < 100_000


def test_what_is_no_media_is_an_error(tmp_path: Path, pool: ProcessPool) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing" * 99)
    with pytest.raises(SourceError, match="cannot be opened as media"):
        preview(tmp_path / "a.mp4", 5.0, Config(), pool)


def test_a_preview_of_nothing_is_nothing() -> None:
    assert Preview(np.zeros(0, np.uint8), np.zeros((0, 1, 1, 3), np.uint8)).to_json() == {}


def test_media_is_found_here_and_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "films").mkdir()
    film = tmp_path / "films" / "a.mp4"
    film.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert find_media("films/a.mp4") == Path("films/a.mp4")
    assert find_media("elsewhere/a.mp4") is None
    assert find_media("elsewhere/a.mp4", tmp_path / "films") == film
    assert find_media(str(film)) == film
    for name in ("rtsp://camera/live", "s3://bucket/a.mp4", "https://host/a.mp4", "-", "a\0b", "x" * 5000):
        assert find_media(name, tmp_path) is None


def test_a_link_is_relative_and_quoted(tmp_path: Path) -> None:
    media = tmp_path / "films" / 'a #1 "50%" <b>.mp4'
    assert link(media, tmp_path / "run" / "report.html") == "../films/a%20%231%20%2250%25%22%20%3Cb%3E.mp4"
