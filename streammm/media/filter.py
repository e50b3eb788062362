"""Which sources are left out for what they are: decided when one is open, by what its container says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from streammm.types import MODALITIES, Modality


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """What a source must have.

    A length that the container does not tell, as of raw streams and pipes, passes: it would be known only after
    everything was decoded. Live sources have none and are not asked.
    """

    min_seconds: float | None = None
    max_seconds: float | None = None
    require: tuple[Modality, ...] = ()

    def objection(self, seconds: float | None, has: Collection[Modality]) -> str:
        """Why a source is left out, in words; nothing if it passes.

        Args:
            seconds: its length, None if it is not known.
            has: what of it can be decoded, captions beside it included.
        """
        if missing := [m for m in MODALITIES if m in self.require and m not in has]:
            return f"it has no {' and no '.join(missing)}, which sources.require asks for"
        if seconds is not None and self.min_seconds is not None and seconds < self.min_seconds:
            return f"it has {seconds:.1f} s, less than sources.min_seconds, {self.min_seconds:g}"
        if seconds is not None and self.max_seconds is not None and seconds > self.max_seconds:
            return f"it has {seconds:.1f} s, more than sources.max_seconds, {self.max_seconds:g}"
        return ""
