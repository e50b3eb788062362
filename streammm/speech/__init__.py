"""Text from speech: sound in, words with their times out, where a segment has no captions.

``text.py`` puts a recogniser before the encoder that reads; the recognisers know nothing of segments.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from streammm.errors import ConfigError
from streammm.speech.base import Recogniser
from streammm.speech.weights import SPEECH_MODELS

__all__ = ["Recogniser", "make_recogniser", "recogniser_identity"]

_KNOWN = "pocketsphinx, whisper:NAME such as whisper:tiny.en, or whisper:DIRECTORY"


def make_recogniser(name: str, *, language: str, device: str, threads: int) -> Recogniser:
    """The recogniser of a name, not yet set up.

    Args:
        name: ``pocketsphinx``, ``whisper:NAME`` or ``whisper:DIRECTORY``.
        language: what is spoken, such as ``en``.
        device: cpu, cuda or cuda:N.
        threads: of a CPU.

    Raises:
        ConfigError: there is no such recogniser, or it does not know the language.
    """
    kind, _, model = name.partition(":")
    if name == "pocketsphinx":
        from streammm.speech.sphinx import PocketSphinx

        return PocketSphinx(language=language)
    if kind == "whisper" and model:
        from streammm.speech.whisper import Whisper

        return Whisper(model, language=language, device=device, threads=threads)
    raise ConfigError(f"speech.recogniser: there is no recogniser {name!r}; there are {_KNOWN}")


def recogniser_identity(name: str) -> dict[str, Any]:
    """What the words depend on: the recogniser's name and its weights; the path of a directory is no part of it.

    The weights of a model that is fetched by name are not known before they are there: its name stands for them.

    Raises:
        ConfigError: a directory holds no model.
    """
    if name in SPEECH_MODELS:
        return {"name": name, "weights": sorted(SPEECH_MODELS[name].files.values())}
    kind, _, model = name.partition(":")
    if kind == "whisper" and model and Path(model).is_dir():
        from streammm.speech.whisper import weights_in

        with weights_in(Path(model)).open("rb") as content:
            return {"name": kind, "weights": [hashlib.file_digest(content, "sha256").hexdigest()]}
    return {"name": name}
