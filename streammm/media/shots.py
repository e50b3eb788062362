"""Placeholder until the shots module lands: its owner replaces this file."""

from fractions import Fraction

import av


class ShotDetector:
    decided: Fraction | None = None

    def push(self, start: Fraction, frame: av.VideoFrame) -> list[Fraction]:
        return []

    def flush(self) -> list[Fraction]:
        return []
