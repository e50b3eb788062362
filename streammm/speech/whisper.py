"""Whisper (Radford et al., arXiv:2212.04356) through faster-whisper, which runs it on CTranslate2.

A model is named as faster-whisper names it, or is a directory with one converted for CTranslate2. ``tiny.en`` is read
out of a package; other names are fetched from the Hugging Face hub once, at the start, and kept in its cache.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streammm.encoders.weights import require_package
from streammm.errors import ConfigError, EncodeError
from streammm.speech.weights import INSTALL_COMMAND, SPEECH_MODELS
from streammm.types import SAMPLE_RATE_HZ, Cue

_LEAST_SECONDS, _PAUSE_SECONDS, _MOST_SECONDS = 10.0, 2.0, 30.0
"""Whisper was trained on 30 s, filled up with silence, and that costs as much as 30 s of speech. It needs some silence
after the last word, not all of that: with 10 s GRID's sentences come out the same for a quarter of the time, with 5 s
twice as many words are wrong."""

_FRAMES_A_SECOND = 100

_MOST_COMPRESSION, _LEAST_LOG_PROBABILITY = 2.4, -1.0
"""What Whisper itself takes for failed (section 4.5 of the paper): text that repeats itself, and text that it does not
believe in. Where it then tries at random, the whole 30 s are looked at here, with a beam, so that the words are the
same each time; a stretch that fails again has none."""


class Whisper:
    """Whisper of any size; what a detector (Silero, inside faster-whisper) takes for no speech is not looked at.

    Args:
        model: a name, or a directory.
        language: what is spoken, as a code such as ``en``; an English model knows only that.
        device: cpu, cuda or cuda:N.
        threads: of a CPU.
    """

    def __init__(self, model: str, *, language: str = "en", device: str = "cpu", threads: int = 1) -> None:
        self.name = "whisper" if Path(model).is_dir() else f"whisper:{model}"
        self._place = model
        self._language = language
        self._device, _, number = device.partition(":")
        self._device_index = int(number or 0)
        self._compute_type = "float16" if self._device == "cuda" else "int8"
        self._threads = threads
        self._model: Any = None
        self._num_frames = 0

    def setup(self) -> None:
        if self._model is not None:
            return
        require_package("faster_whisper", "Whisper needs the package faster-whisper", INSTALL_COMMAND)
        from faster_whisper import WhisperModel

        place = self._place
        if self.name in SPEECH_MODELS:
            model = SPEECH_MODELS[self.name]
            files = [model.file(path) for path in model.files]
            place = str(files[0].parent)
        elif Path(place).is_dir():
            weights_in(Path(place))
        try:
            found: Any = WhisperModel(
                place,
                device=self._device,
                device_index=self._device_index,
                compute_type=self._compute_type,
                cpu_threads=self._threads,
            )
        except Exception as error:  # of a hub, a file or a device: whichever it is, there is no model
            raise ConfigError(f"speech.recogniser: {self.name} cannot be loaded: {_words(error)}") from error
        if self._language not in found.supported_languages:
            known = ", ".join(sorted(found.supported_languages))
            raise ConfigError(f"speech.language: {self.name} does not know {self._language!r}; it knows {known}")
        encode = found.encode
        found.encode = lambda features: encode(features[..., : self._num_frames])
        self._model = found

    def recognise(self, waveform: npt.NDArray[np.float32]) -> list[Cue]:
        if self._model is None:
            raise EncodeError(f"{self.name}: recognise was called before setup")
        seconds = min(max(_LEAST_SECONDS, len(waveform) / SAMPLE_RATE_HZ + _PAUSE_SECONDS), _MOST_SECONDS)
        stretches = self._transcribe(waveform, seconds, beam_size=1)
        if not all(map(_is_good, stretches)):
            stretches = self._transcribe(waveform, _MOST_SECONDS, beam_size=5)
        return [
            Cue(float(word.start), max(float(word.end), word.start + 1 / _FRAMES_A_SECOND), word.word.strip())
            for stretch in filter(_is_good, stretches)
            for word in stretch.words
        ]

    def _transcribe(self, waveform: npt.NDArray[np.float32], seconds: float, beam_size: int) -> list[Any]:
        self._num_frames = math.ceil(seconds * _FRAMES_A_SECOND)
        stretches, _ = self._model.transcribe(
            waveform,
            language=self._language,
            beam_size=beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=True,
        )
        return list(stretches)


def _is_good(stretch: Any) -> bool:
    return bool(stretch.compression_ratio <= _MOST_COMPRESSION and stretch.avg_logprob >= _LEAST_LOG_PROBABILITY)


def weights_in(folder: Path) -> Path:
    """The file of weights in a directory with a model.

    Raises:
        ConfigError: it holds none.
    """
    path = folder / "model.bin"
    if not path.is_file():
        raise ConfigError(
            f"speech.recogniser: {folder} holds no model for CTranslate2, there is no model.bin in it; "
            "ct2-transformers-converter makes one of Whisper's weights"
        )
    return path


def _words(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
