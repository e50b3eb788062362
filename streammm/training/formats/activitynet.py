"""ActivityNet's JSON, which THUMOS, HACS and Kinetics use too: http://activity-net.org/download.html"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streammm.training.formats.reading import Document, FormatOptions, Reading, Row, split_name


def read(document: Document, options: FormatOptions) -> Reading | None:
    videos = _videos(document.data)
    if videos is None:
        return None
    reading = Reading()
    for name, video in videos.items():
        found = video.get("annotations") or []
        if not found:
            reading.notes.count("videos have no annotations and are left out", name)
        for annotation in [found] if isinstance(found, Mapping) else found:
            try:
                start, end = map(float, annotation["segment"]) if annotation.get("segment") else (None, None)
                label = str(annotation["label"]).strip()
            except (AttributeError, KeyError, TypeError, ValueError):
                reading.notes.count("annotations are not a label and a segment and are left out", name)
                continue
            row = Row((name, f"v_{name}"), start, end, label, split_name(video.get("subset")))
            reading.add(row, f"{label} of {name}")
    return reading


def _videos(data: Any) -> Mapping[str, Mapping[str, Any]] | None:
    """What is known of each video, where that is what the data are."""
    videos = data.get("database", data) if isinstance(data, Mapping) else None
    if not isinstance(videos, Mapping) or not videos:
        return None
    is_video = [
        isinstance(video, Mapping) and ("annotations" in video or "subset" in video) for video in videos.values()
    ]
    return videos if all(is_video) else None
