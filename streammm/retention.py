"""How old and how large a run directory may become: what of it is too much, and files of earlier runs that go.

Entries of the journal are removed by whoever works in it, since its sinks must have had them; see `Journal.removable`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from streammm.config.output import RetentionConfig

_SET_ASIDE = re.compile(r"(results|quarantine|events|config)\.\d{8}-\d{6}(-\d+)?\.(jsonl|yaml)")
_LONGEST_PAUSE_SECONDS = 60.0
_TARGET_SHARE = 0.9
"""Of the largest size: so that it is not reached again at once."""

_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of a run directory.

    Args:
        path: the directory.
        max_age_seconds: None for any age.
        max_bytes: of all files in it; None for any size.
    """

    path: Path
    max_age_seconds: float | None
    max_bytes: float | None

    @classmethod
    def of(cls, path: Path, config: RetentionConfig) -> Retention | None:
        """That of a configuration; None where everything is kept."""
        if config.max_age_days is None and config.max_size_mb is None:
            return None
        return cls(
            path,
            None if config.max_age_days is None else config.max_age_days * _DAY_SECONDS,
            None if config.max_size_mb is None else config.max_size_mb * 2**20,
        )

    @property
    def pause_seconds(self) -> float:
        """How long to wait between two looks."""
        if self.max_age_seconds is None:
            return _LONGEST_PAUSE_SECONDS
        return min(_LONGEST_PAUSE_SECONDS, max(1.0, self.max_age_seconds / 10))

    def remove_files(self) -> int:
        """Removes what was set aside and is too old, or more than there is room for, oldest first; how many."""
        found = [path for path in self.path.iterdir() if _SET_ASIDE.fullmatch(path.name)]
        num = 0
        for path in sorted(found, key=lambda path: path.stat().st_mtime):
            age_seconds = time.time() - path.stat().st_mtime
            if (self.max_age_seconds is not None and age_seconds > self.max_age_seconds) or self.share_too_much() > 0:
                path.unlink()
                num += 1
        return num

    def share_too_much(self) -> float:
        """Which share of what is there has to go, in [0, 1]."""
        if self.max_bytes is None:
            return 0.0
        size = sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())
        return 0.0 if size <= self.max_bytes else 1.0 - _TARGET_SHARE * self.max_bytes / size
