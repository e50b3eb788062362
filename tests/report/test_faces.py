"""Faces in thumbnails are blurred where they are found, and nothing else is touched."""

from __future__ import annotations

import importlib.util
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from streammm.config import load
from streammm.encoders import weights
from streammm.errors import ConfigError
from streammm.media.options import Limits
from streammm.media.process import ProcessPool
from streammm.report.faces import blur_faces
from streammm.report.preview import preview

FACE = (slice(12, 60), slice(52, 88))
"""Where it is in the portrait."""


def data(name: str) -> Path:
    """A file that comes with scikit-image."""
    if (found := importlib.util.find_spec("skimage")) is None or found.origin is None:
        reason = "no pictures of faces: pip install '.[dev]' brings scikit-image"
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)
    return Path(found.origin).parent / "data" / name


@pytest.fixture
def portrait() -> npt.NDArray[np.uint8]:
    """uint8 [160, 160, 3]: Eileen Collins, a photograph of NASA's in the public domain."""
    return np.asarray(Image.open(data("astronaut.png")).convert("RGB").resize((160, 160)))


def detail(picture: npt.NDArray[np.uint8]) -> float:
    """How much neighbouring pixels differ, on average."""
    return float(np.abs(np.diff(picture.astype(np.float64), axis=1)).mean())


def test_a_face_loses_its_detail_and_the_rest_keeps_it(portrait: npt.NDArray[np.uint8]) -> None:
    (blurred,) = blur_faces(portrait[None])
    assert detail(blurred[FACE]) < detail(portrait[FACE]) / 3
    assert np.array_equal(blurred[90:], portrait[90:])


@pytest.mark.parametrize("side", [80, 40])
def test_small_faces_are_found(portrait: npt.NDArray[np.uint8], side: int) -> None:
    picture = np.full((160, 160, 3), 90, np.uint8)
    picture[:side, :side] = np.asarray(Image.fromarray(portrait).resize((side, side)))
    (blurred,) = blur_faces(picture[None])
    face = tuple(slice(s.start * side // 160, s.stop * side // 160) for s in FACE)
    assert detail(blurred[face]) < detail(picture[face]) / 2
    assert np.array_equal(blurred[side:], picture[side:])


@pytest.mark.parametrize(("side", "least_faces", "most_others"), [(25, 100, 3), (50, 100, 0)])
def test_faces_in_the_wild_are_found(side: int, least_faces: int, most_others: int) -> None:
    """Labeled Faces in the Wild, seen from the front, and as many other pieces: what docs/privacy.md says."""
    pictures = np.full((200, 160, 160, 3), 120, np.uint8)
    for picture, values in zip(pictures, np.load(data("lfw_subset.npy")), strict=True):
        piece = Image.fromarray((255 * values).astype(np.uint8)).convert("RGB").resize((side, side))
        picture[60 : 60 + side, 60 : 60 + side] = np.asarray(piece)
    is_blurred = np.any(blur_faces(pictures) != pictures, axis=(1, 2, 3))
    assert is_blurred[:100].sum() >= least_faces
    assert is_blurred[100:].sum() <= most_others


def test_a_picture_without_a_face_stays(portrait: npt.NDArray[np.uint8]) -> None:
    assert np.array_equal(blur_faces(portrait[None, 100:]), portrait[None, 100:])


def test_faces_of_people_who_speak_are_blurred_in_a_report(shared_media: Path) -> None:
    clip = sorted((shared_media / "media" / "grid").glob("*.mpg"))[0]
    found = {}
    with closing(ProcessPool(Limits())) as pool:
        for faces in ("keep", "blur"):
            found[faces] = preview(clip, 2.0, load(settings=[f"privacy.faces={faces}"]), pool).pictures
    changed = np.any(found["keep"] != found["blur"], axis=(1, 2, 3))
    assert changed.tolist() == [True] * 4


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from streammm.report import faces

    def missing(*args: object, **kwargs: object) -> Path:
        raise ConfigError(f"CenterFace is not installed; run: {kwargs['install_command']}")

    monkeypatch.setattr(weights, "package_file", missing)
    faces._net.cache_clear()
    with pytest.raises(ConfigError, match=r"streammm\[faces\]"):
        blur_faces(np.zeros((1, 32, 32, 3), np.uint8))
    faces._net.cache_clear()
