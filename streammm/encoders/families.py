"""The families of encoders that a configuration can name: what `streammm models` tells of them. Does without torch."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

from streammm.errors import ConfigError
from streammm.types import Modality

_ALL: tuple[Modality, ...] = ("video", "audio", "text")
_INSTALL = 'pip install "streammm[encoders]"'


@dataclass(frozen=True, slots=True)
class Family:
    """Models that one library, or one kind of file, brings.

    ``module`` has ``make(rest, modality, placement)``, and ``catalogue()`` where ``has_catalogue``. ``weights`` says
    where weights come from and on what terms.
    """

    title: str
    modalities: tuple[Modality, ...]
    example: str
    module: str
    weights: str
    packages: tuple[str, ...] = ()
    has_catalogue: bool = False

    @property
    def missing(self) -> list[str]:
        """The packages that it needs and that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]

    @property
    def install(self) -> str:
        """The command that installs what it needs."""
        return _INSTALL


FAMILIES = {
    "torchvision": Family(
        "torchvision's classifiers of pictures and clips",
        ("video",),
        "torchvision:convnext_tiny, torchvision:resnet50@IMAGENET1K_V1, torchvision:r3d_18@weights.safetensors",
        "streammm.encoders.torchvision_models",
        "from download.pytorch.org at the first use, or a file of yours; most are trained on ImageNet or Kinetics, "
        "whose terms are for research",
        has_catalogue=True,
    ),
    "timm": Family(
        "timm's models of pictures",
        ("video",),
        "timm:convnext_tiny.in12k_ft_in1k, timm:hf-hub:OWNER/MODEL, timm:FOLDER, timm:NAME@CHECKPOINT",
        "streammm.encoders.timm_models",
        "from huggingface.co at the first use, or yours; each model's page there has its licence",
        ("timm", "huggingface_hub"),
        has_catalogue=True,
    ),
    "torchaudio": Family(
        "torchaudio's models of speech",
        ("audio",),
        "torchaudio:WAV2VEC2_BASE, torchaudio:WAVLM_BASE@weights.safetensors",
        "streammm.encoders.torchaudio_models",
        "from download.pytorch.org at the first use, or a file of yours; the bundle's page in torchaudio's "
        "documentation has its licence",
        has_catalogue=True,
    ),
    "hf": Family(
        "models of the Hugging Face hub: CLIP, SigLIP, CLAP, AST, Whisper, VideoMAE, sentence transformers",
        _ALL,
        "hf:openai/clip-vit-base-patch32, hf:sentence-transformers/all-mpnet-base-v2@REVISION, hf:FOLDER",
        "streammm.encoders.huggingface",
        "from huggingface.co at the first use, or a folder of yours, safetensors only; each model's page has its "
        "licence",
        ("transformers",),
    ),
    "torchscript": Family(
        "a net of yours as TorchScript, with FILE.json beside it",
        _ALL,
        "torchscript:net.pt",
        "streammm.encoders.torchscript",
        "a file of yours; such files hold code that is run: name only those that you trust",
    ),
    "onnx": Family(
        "a net of yours as ONNX, with FILE.json beside it where its inputs do not say enough",
        _ALL,
        "onnx:net.onnx",
        "streammm.encoders.onnx_models",
        "a file of yours; such files describe computations that are run: name only those that you trust",
        ("onnxruntime",),
    ),
    "tuned": Family(
        "a published encoder that was trained further with streammm, see training.fine_tune",
        _ALL,
        "tuned:models/own/video.safetensors",
        "streammm.encoders.tuned",
        "a file of yours; the encoder that it was made of must be there too, and its terms hold",
    ),
    "small": Family(
        "a small net for pictures or sound, trained with streammm",
        ("video", "audio"),
        "small:picture.safetensors",
        "streammm.encoders.small",
        "a file of yours",
    ),
    "founding_cnn": Family(
        "a CNN of 32 and 64 channels for pictures, trained with streammm",
        ("video",),
        "founding_cnn:cnn.safetensors",
        "streammm.encoders.founding",
        "a file of yours",
    ),
    "founding_rnn": Family(
        "a bidirectional GRU for text, trained with streammm",
        ("text",),
        "founding_rnn:rnn.safetensors",
        "streammm.encoders.founding",
        "a file of yours",
    ),
}


def catalogue(prefix: str) -> Iterator[str]:
    """A line for each model that a family's library knows by name, with its size where that is known.

    Raises:
        ConfigError: there is no such family or its library is not installed, or it has no list.
    """
    listed = [name for name, family in FAMILIES.items() if family.has_catalogue]
    if prefix not in listed:
        raise ConfigError(f"models of {prefix!r} are not listed; there are lists of {', '.join(listed)}")
    family = FAMILIES[prefix]
    if family.missing:
        raise ConfigError(f"{', '.join(family.missing)} is not installed; run: {family.install}")
    lines: Iterator[str] = importlib.import_module(family.module).catalogue()
    return lines
