"""Rows of numbers of any length, held tightly or left on disk: raw content, of which there is too much for memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streammm.kept import tight

_WIDE = 8192
"""Longer rows are raw content: no encoder's vector comes near to it, and a frame of 64 by 64 is longer."""


class Ragged:
    """T rows, of which a stretch is made when it is asked for: float32 [N, D], filled up with NaN, zeros if empty.

    Args:
        lengths: int64 [T], of each row; 0 where there is nothing.
        read: gives the numbers from one place to another of all rows in one.
    """

    def __init__(self, lengths: npt.NDArray[np.int64], read: Callable[[int, int], npt.NDArray[Any]]) -> None:
        self.lengths = lengths
        self._bounds = np.concatenate([[0], np.cumsum(lengths)])
        self._read = read

    @property
    def shape(self) -> tuple[int, int]:
        """T, and D of the longest row."""
        return len(self.lengths), int(self.lengths.max(initial=0))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: slice) -> npt.NDArray[np.float32]:
        first, stop, _ = rows.indices(len(self))
        numbers = self._read(int(self._bounds[first]), int(self._bounds[stop]))
        lengths = self.lengths[first:stop]
        found = np.full((len(lengths), self.shape[1]), np.nan, np.float32)
        for row, length, end in zip(found, lengths, np.cumsum(lengths), strict=True):
            row[: length or None] = numbers[end - length : end] if length else 0.0
        return found

    def numbers(self) -> npt.NDArray[Any]:
        """All rows in one."""
        return self._read(0, int(self._bounds[-1]))


def together(rows: Sequence[npt.NDArray[np.float32] | None]) -> npt.NDArray[np.float32] | Ragged:
    """Rows as one array, filled up with NaN, zeros for those that are None; as `Ragged` if they are wide."""
    width = max(len(row) for row in rows if row is not None)
    if width < _WIDE:
        found = np.zeros((len(rows), width), np.float32)
        for to, row in zip(found, rows, strict=True):
            if row is not None:
                to[: len(row)] = row
                to[len(row) :] = np.nan
        return found
    lengths = np.array([0 if row is None else len(row) for row in rows], np.int64)
    numbers = np.concatenate([tight(row) for row in rows if row is not None])
    return Ragged(lengths, lambda first, stop: numbers[first:stop])
