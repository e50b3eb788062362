"""PocketSphinx: no net and no download, a small model of American English that its package brings along.

It takes far more words wrong than Whisper does; see `benchmarks/speech.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streammm.errors import ConfigError, EncodeError
from streammm.speech.weights import SPEECH_MODELS
from streammm.types import SAMPLE_RATE_HZ, Cue

_FRAMES_A_SECOND = 100
_LEAST_SPEECH_SECONDS = 0.2
"""Sound with less speech than this, by the WebRTC detector in the package, is not looked at: PocketSphinx hears "I'm"
in silence."""


class PocketSphinx:
    """The en-us model with its own language model and dictionary."""

    name = "pocketsphinx"

    def __init__(self, *, language: str = "en") -> None:
        if language != "en":
            raise ConfigError(f"speech.language: pocketsphinx knows English (en) only, got {language!r}")
        self._decoder: Any = None
        self._vad: Any = None

    def setup(self) -> None:
        if self._decoder is not None:
            return
        model = SPEECH_MODELS[self.name]
        language_model, dictionary, acoustic, *_ = [model.file(path) for path in model.files]
        import pocketsphinx

        self._vad = pocketsphinx.Vad(pocketsphinx.Vad.STRICT, SAMPLE_RATE_HZ)
        self._decoder = pocketsphinx.Decoder(
            hmm=str(acoustic.parent),
            lm=str(language_model),
            dict=str(dictionary),
            samprate=SAMPLE_RATE_HZ,
            cmn="batch",  # by the utterance itself, not by those before it
            loglevel="FATAL",
        )

    def recognise(self, waveform: npt.NDArray[np.float32]) -> list[Cue]:
        if self._decoder is None:
            raise EncodeError(f"{self.name}: recognise was called before setup")
        samples = (np.clip(waveform, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        if self._speech_seconds(samples) < _LEAST_SPEECH_SECONDS:
            return []
        self._decoder.reinit_feat()  # forgets what it learned of noise
        self._decoder.start_utt()
        self._decoder.process_raw(samples, full_utt=True)
        self._decoder.end_utt()
        return [
            Cue(part.start_frame / _FRAMES_A_SECOND, (part.end_frame + 1) / _FRAMES_A_SECOND, part.word.split("(")[0])
            for part in self._decoder.seg() or ()
            if not part.word.startswith(("<", "["))  # silence and noises; "word(2)" is another way to say it
        ]

    def _speech_seconds(self, samples: bytes) -> float:
        size = self._vad.frame_bytes
        frames = (samples[at : at + size] for at in range(0, len(samples) - size + 1, size))
        return float(sum(self._vad.is_speech(frame) for frame in frames) * self._vad.frame_length)
