"""Moments are found where they were put: by what is heard, seen and said, and by an example."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streammm.building.encoders import make_encoder
from streammm.config import Config, load
from streammm.encoders.audio import audioset_classes
from streammm.encoders.image import imagenet_classes
from streammm.errors import ConfigError
from streammm.find import Found, Moment, find_like, find_text
from streammm.relabel import relabel, relabelled_config
from tests.conftest import MakeClip
from tests.kept_runs import Made, made_source, write_run

KEEPS = load(settings=["output.embeddings=true"])
ROOSTERS = range(21, 25)
PLANES = (42, 43)
SAID = 60
"""Segments in which a rooster is heard, an airliner is seen, something is said of a moon landing."""


def quiet(name: str, num: int, seed: int = 0) -> Made:
    """A source in which nothing is heard or said, and a screw is all that is seen."""
    made = made_source(name, num, seed=seed)
    found = {m: replace(e, tags=np.zeros_like(e.tags)) for m, e in made.embeddings.items()}
    found["video"].tags[:, imagenet_classes()[0].index("screw")] = 0.9
    text = found["text"]
    found["text"] = replace(text, vectors=np.zeros_like(text.vectors), present=np.zeros_like(text.present))
    return replace(made, embeddings=found)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = quiet("films/farm.mp4", 300)
    audio, text, video = (made.embeddings[m] for m in ("audio", "text", "video"))
    audio.tags[list(ROOSTERS), audioset_classes().index("Chicken, rooster")] = [0.7, 0.8, 0.9, 0.01]
    audio.tags[200, audioset_classes().index("Chicken, rooster")] = 0.5
    video.tags[list(PLANES)] = 0.0
    video.tags[list(PLANES), imagenet_classes()[0].index("airliner")] = 0.9
    encoder = make_encoder(Config(), "text")
    encoder.setup()
    text.vectors[SAID] = encoder.embed(["The astronauts landed on the moon."])[0]
    text.present[SAID] = True
    for other in (150, 151):  # the same place as segment 90, a little later
        audio.vectors[other] = 1.1 * audio.vectors[90]
        video.vectors[other] = video.vectors[90] + 0.01
        video.present[other] = True
    path = tmp_path_factory.mktemp("runs") / "kept"
    write_run(path, KEEPS, {"films/farm.mp4": made, "films/b/quiet.mp4": quiet("films/b/quiet.mp4", 40, seed=1)})
    return path


def places(found: Found) -> list[tuple[str, int, int]]:
    """Source, first and last segment of each moment."""
    return [(m.source, int(m.start_seconds // 2), int(m.end_seconds // 2) - 1) for m in found.moments]


def test_what_is_heard_is_found_and_neighbours_are_one_moment(run: Path) -> None:
    found = find_text([run], "rooster")
    assert places(found) == [("films/farm.mp4", 21, 23), ("films/farm.mp4", 200, 200)]
    best = found.moments[0]
    assert best.best_seconds == pytest.approx(2 * 23 + 1 / 3)
    assert best.score > found.moments[1].score > 0.3
    assert best.by_modality["audio"] > 0.8
    assert found.num_segments == 340


def test_what_is_seen_and_what_is_said_is_found(run: Path) -> None:
    assert places(find_text([run], "airplane"))[0] == ("films/farm.mp4", *PLANES)
    assert places(find_text([run], "moon landing"))[0] == ("films/farm.mp4", SAID, SAID)
    assert places(find_text([run], "rooster", ["video"])) == []
    found = find_text([run], "a crowd cheering")
    assert found.moments == []
    assert [note.partition(" cannot")[0] for note in found.notes] == ["pictures"]


def test_scores_are_those_of_a_run_with_that_label_alone(tmp_path: Path, run: Path) -> None:
    relabel(run, relabelled_config(run, "rooster", settings=["fusion.smoothing_seconds=0"]), tmp_path / "new")
    rows = [json.loads(line) for line in (tmp_path / "new" / "results.jsonl").read_text().splitlines()]
    wanted = {r["segment"]: r for r in rows if r["source"] == "films/farm.mp4"}[23]
    (best, *_) = find_text([run], "rooster").moments
    assert best.score == pytest.approx(wanted["labels"][0]["score"], abs=1e-5)
    assert best.by_modality["audio"] == pytest.approx(wanted["modalities"]["audio"]["labels"][0]["score"], abs=1e-5)


def test_what_is_like_an_example_is_found_without_the_example(run: Path) -> None:
    found = find_like([run], "farm.mp4", 2 * 90 + 1.0)
    assert places(found)[0] == ("films/farm.mp4", 150, 151)
    assert found.moments[0].score > 0.95
    assert ("films/farm.mp4", 90, 90) not in places(found)
    assert set(found.moments[0].by_modality) == {"audio", "video"}
    heard = find_like([run], "films/farm.mp4", 2 * 90 + 1.0, ["audio"])
    assert set(heard.moments[0].by_modality) == {"audio"}


def test_no_more_moments_than_asked_for_and_several_runs_at_once(tmp_path: Path, run: Path) -> None:
    other = quiet("more.mp4", 12)
    other.embeddings["audio"].tags[5, audioset_classes().index("Chicken, rooster")] = 1.0
    write_run(tmp_path / "more", KEEPS, {"more.mp4": other})
    found = find_text([run, tmp_path / "more"], "rooster", limit=2)
    assert [(m.run, m.source) for m in found.moments] == [(tmp_path / "more", "more.mp4"), (run, "films/farm.mp4")]
    assert places(find_like([tmp_path / "more", run], "films/farm.mp4", 2 * 90 + 1.0, limit=1)) == [
        ("films/farm.mp4", 150, 151)
    ]


def test_what_cannot_be_searched_is_said(tmp_path: Path, run: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        find_text([tmp_path], "rooster")
    write_run(tmp_path / "bare", load(), {"a": made_source("a", 2)})
    with pytest.raises(ConfigError, match=r"output\.embeddings=true"):
        find_text([tmp_path / "bare"], "rooster")
    for source, seconds in (("farm.mp4", 9e9), ("cow.mp4", 1.0)):
        with pytest.raises(ConfigError, match="nothing was kept"):
            find_like([run], source, seconds)
    with pytest.raises(ConfigError, match="nothing to compare of what is said"):
        find_like([run], "farm.mp4", 181.0, ["text"])
    seen = load(settings=["output.embeddings=true", "fusion.weights={audio: 0, text: 0}"])
    write_run(tmp_path / "seen", seen, {"a": made_source("a", 2)})
    with pytest.raises(ConfigError, match="kept nothing of audio"):
        find_text([tmp_path / "seen"], "rooster", ["audio"])
    write_run(tmp_path / "two", KEEPS, {name: made_source(name, 1) for name in ("a/x.mp4", "b/x.mp4")})
    with pytest.raises(ConfigError, match="may be"):
        find_like([tmp_path / "two"], "x.mp4", 0.5)


def test_a_moment_links_to_where_it_can_be_opened(tmp_path: Path) -> None:
    file = tmp_path / "a film.mp4"
    file.write_bytes(b"")

    def link(source: str) -> str:
        return Moment(Path("r"), source, 62.0, 68.5, 64.0, 0.5, {}).link

    assert link(str(file)) == f"file://{tmp_path}/a%20film.mp4#t=62,68.5"
    assert link("https://host/a.mp4") == "https://host/a.mp4#t=62,68.5"
    assert link("rtsp://camera/live") == link(str(tmp_path / "gone.mp4")) == ""


def test_the_command_lists_moments(streammm: Callable[..., Any], run: Path, clip: MakeClip) -> None:
    done = streammm("find", run, "rooster", "--json", "--limit", 1)
    assert done.returncode == 0, done.stderr
    (moment,) = map(json.loads, done.stdout.splitlines())
    assert (moment["source"], moment["link"]) == ("films/farm.mp4", "")
    assert moment["start_seconds"] == pytest.approx(42 + 1 / 3)
    table = streammm("find", run, "--like", "farm.mp4@3:01", "--in", "audio").stdout
    assert "5:00.3-5:04.3  films/farm.mp4" in table
    for mistake in (("rooster", "--like", "farm.mp4"), (), ("rooster", "--in", "smell")):
        wrong = streammm("find", run, *mistake)
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
