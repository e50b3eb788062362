"""streammm says what is seen, heard and said, segment by segment, in video files and live streams.

    import streammm

    for row in streammm.classify("talk.mp4", labels=["speech", "music", "applause"]):
        print(row.start_seconds, row.labels[0])

`streammm.types` has what a row is, `streammm.config` every setting, `streammm.runs` how runs are read. What is not
listed here may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streammm.asynchronous import aclassify as aclassify
    from streammm.pipeline import classify as classify
    from streammm.pipeline import find_events as find_events
    from streammm.runs import open_run as open_run

__version__: str
__all__ = ["__version__", "aclassify", "classify", "find_events", "open_run"]

_PLACES = {
    "aclassify": "streammm.asynchronous",
    "classify": "streammm.pipeline",
    "find_events": "streammm.pipeline",
    "open_run": "streammm.runs",
}
"""Loaded on first use: torch takes seconds to import, and a decoding process needs none of it."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        found = globals()[name] = version("streammm")
        return found
    if name in _PLACES:
        found = globals()[name] = getattr(import_module(_PLACES[name]), name)
        return found
    raise AttributeError(f"module 'streammm' has no attribute {name!r}")
