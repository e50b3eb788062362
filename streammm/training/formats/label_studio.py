"""Label Studio's JSON export: regions of audio, ranges of frames of video, and choices for the whole of a task.

https://labelstud.io/guide/task_format. Frames count from one and a range holds its last, so that frames 1 to 25 at 25
a second are the first second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from streammm.training.formats.reading import (
    Document,
    FormatOptions,
    Reading,
    Row,
    chosen,
    frame_rate,
    seconds,
    split_name,
)

_MEDIA_KEYS = ("video", "audio", "video_url", "audio_url", "url", "media", "file", "path")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
_LABEL_KEYS = ("timelinelabels", "labels", "choices")


def read(document: Document, options: FormatOptions) -> Reading | None:
    tasks = [document.data] if isinstance(document.data, Mapping) else document.data
    if not isinstance(tasks, list) or not all(isinstance(t, Mapping) and "data" in t for t in tasks) or not tasks:
        return None
    reading = Reading()
    annotated = [_annotations(task) for task in tasks]
    controls = dict.fromkeys(str(r.get("from_name")) for first, _ in annotated for r in first)
    wanted = chosen(options.layers, list(controls), "control", document.path)
    for task, (first, others) in zip(tasks, annotated, strict=True):
        where = f"task {task.get('id', '?')}"
        names = tuple(_names(task["data"]))
        split = split_name(task["data"].get("split"))
        for annotation in others:
            reading.notes.count("annotations of a task by others are left out", f"{annotation.get('id')}")
        results = [result for result in first if str(result.get("from_name")) in wanted]
        if not results:
            reading.notes.count("tasks have no labels and are left out", where)
        for result in results:
            value = result.get("value") or {}
            labels: list[object] = next((value[key] for key in _LABEL_KEYS if value.get(key)), [])
            if not labels:
                reading.notes.count("results are no labels and are left out", f"{result.get('type')} of {where}")
            for start, end in _spans(value, document, options):
                for label in labels:
                    reading.add(Row(names, start, end, str(label).strip(), split), where)
    return reading


def _annotations(task: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The results of one annotator, and what others made of the task.

    The one is the ground truth where there is one, else the first who did not skip.
    """
    found = [a for a in task.get("annotations", task.get("completions")) or [] if not a.get("was_cancelled")]
    found.sort(key=lambda annotation: not annotation.get("ground_truth"))
    return list(found[0].get("result", [])) if found else [], found[1:]


def _names(data: Mapping[str, Any]) -> Iterator[str]:
    """The file as it was imported, and as it was called before Label Studio put eight digits before its name."""
    keys = [key for key in _MEDIA_KEYS if key in data] or [key for key in data if isinstance(data[key], str)]
    for key in keys:
        name = str(data[key])
        yield name
        if uploaded := _UPLOADED.fullmatch(name.rsplit("/", 1)[-1]):
            yield uploaded[1]


def _spans(
    value: Mapping[str, Any], document: Document, options: FormatOptions
) -> Iterator[tuple[float | None, float | None]]:
    if "ranges" in value:
        rate_hz = frame_rate(options, document.path)
        for span in value["ranges"]:
            yield (float(span["start"]) - 1) / rate_hz, float(span["end"]) / rate_hz
    else:
        yield seconds(value.get("start")), seconds(value.get("end"))
