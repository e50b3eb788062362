"""A folder for each label, its media in it; there may be folders for training, validation and test above."""

from __future__ import annotations

from pathlib import Path

from streammm.training.formats.reading import Reading, Row, split_name
from streammm.training.media_files import files_below


def read(folder: Path) -> Reading:
    """All media below a folder, labelled by the folders that they are in: `LABEL/...` or `SPLIT/LABEL/...`."""
    reading = Reading()
    for parts in files_below(folder):
        split = split_name(parts[0]) if len(parts) > 2 else None
        if split not in ("train", "validation", "test"):
            split = None
        name = "/".join(parts)
        if len(parts) == 1:
            reading.notes.count("files are in no folder of a label and are left out", name)
        else:
            reading.add(Row((name,), None, None, parts[1] if split else parts[0], split), name)
    return reading
