"""What is left out on purpose, in a listing of sources."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Skipped:
    """A source that is left out on purpose: ``reason`` is a short code, ``detail`` says it in words."""

    source: str
    reason: str
    detail: str
