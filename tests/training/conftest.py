"""A folder of media in name only, and a way to read labels written beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streammm.training.annotations import Annotations, read_annotations

ReadLabels = Callable[..., Annotations]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder for files in which nobody looks."""
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


def touch(folder: Path, *names: str) -> None:
    """Makes empty files below a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def read(tmp_path: Path, media: Path) -> ReadLabels:
    """Reads a text as a file of labels: ``read(text, "a.csv", "clip.mp4", ...)`` with the media that there are."""

    def read_text(text: str, name: str, *files: str, **options: object) -> Annotations:
        touch(media, *files)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_annotations(path, media, **options)

    return read_text


def table(found: Annotations) -> list[tuple[str, float | None, float | None, str]]:
    """The annotations, sources by their file names alone."""
    return [(Path(a.source).name, a.start_seconds, a.end_seconds, a.label) for a in found.items]
