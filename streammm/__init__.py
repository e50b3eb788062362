"""streammm says what is seen, heard and said, segment by segment, in video files and live streams.

import streammm

for row in streammm.classify("talk.mp4", labels=["speech", "music", "applause"]):
    print(row.start_seconds, row.labels[0])
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streammm.pipeline import classify as classify
    from streammm.pipeline import find_events as find_events

__version__ = version("streammm")
__all__ = ["__version__", "classify", "find_events"]


def __getattr__(name: str) -> Any:
    if name in ("classify", "find_events"):  # loaded on first use: torch takes seconds to import
        from streammm import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'streammm' has no attribute {name!r}")
