"""What every recogniser is: a stretch of sound in, the words in it with their times out."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from streammm.types import Cue


@runtime_checkable
class Recogniser(Protocol):
    """Recognises speech; used by one thread at a time. It keeps nothing of what it heard before."""

    name: str

    def setup(self) -> None:
        """Load the model; a second call does nothing.

        Raises:
            ConfigError: the package or the model is missing or changed, or this machine cannot run it.
        """
        ...

    def recognise(self, waveform: npt.NDArray[np.float32]) -> list[Cue]:
        """The words in float32 [N] in [-1, 1] at 16 kHz, in order, in seconds from its start; none in silence.

        Raises:
            EncodeError: the recogniser failed, or ``setup`` was not called.
        """
        ...
