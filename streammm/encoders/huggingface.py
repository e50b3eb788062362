"""Models of the Hugging Face hub, through transformers: `hf:OWNER/MODEL`, `hf:OWNER/MODEL@REVISION` or `hf:FOLDER`.

Which part of a model runs depends on the modality: CLIP and SigLIP have a tower for pictures and one for text, CLAP one
for sound and one for text. Classifiers give their classes as tags. Of others vectors are, of pictures and clips, what
the model pools or else the mean over its tokens; of sound and text the mean over time, of Whisper its encoder's over
the stretch that was heard; of sentence transformers as they say. Weights are read from safetensors only, and no code
of a repository is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import cached_file

from streammm.encoders.base import Picture
from streammm.encoders.checkpoint import digest, first_line
from streammm.encoders.net import (
    CLIP_GPU_BATCH,
    NetEncoder,
    Normalised,
    Recipe,
    TextNetEncoder,
    WithFeatures,
    clip_of,
    frames_of,
)
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import GPU_BATCH
from streammm.encoders.sound import Sound
from streammm.errors import ConfigError
from streammm.types import Modality, Segment

transformers.utils.logging.set_verbosity_error()  # what it would warn of, missing weights, is an error here
transformers.utils.logging.disable_progress_bar()  # its bars of loading run over those of ours
huggingface_hub.utils.enable_progress_bars()  # but a download is to be seen

_AUTO: dict[Modality, tuple[tuple[str, str], ...]] = {
    "audio": (("ForAudioClassification", "AutoModelForAudioClassification"),),
    "text": (("ForSequenceClassification", "AutoModelForSequenceClassification"),),
    "video": (
        ("ForImageClassification", "AutoModelForImageClassification"),
        ("ForVideoClassification", "AutoModelForVideoClassification"),
    ),
}
_FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, SafetensorError)
"""What transformers raises where a name, a file or a package is not what it should be."""

_AUDIOSET_CLASSES = 527
_MOST_TOKENS = 512
"""Where neither the tokenizer nor the model says how long a text may be."""


class _Source:
    """A model's name, revision and configuration, from which everything else is read in the same way."""

    def __init__(self, rest: str, modality: Modality) -> None:
        self.full_name = f"hf:{rest}"
        self.modality: Modality = modality
        folder = Path(rest).is_dir()
        self.name, _, revision = (rest, "", "") if folder else rest.partition("@")
        self.options = {"revision": revision or "main", "trust_remote_code": False}
        self.config = self.get(transformers.AutoConfig)
        if folder:
            self.identity: tuple[str, ...] = (digest(Path(rest)),)
        else:
            self.identity = (self.name, str(self.config._commit_hash))

    def get(self, kind: Any, **options: Any) -> Any:
        """What a class of transformers makes of the model's files."""
        try:
            return kind.from_pretrained(self.name, **self.options, **options)
        except _FAILURES as error:
            raise ConfigError(
                f"{self.full_name}: {first_line(error)}; models come from huggingface.co or a folder on this machine, "
                "with config.json and model.safetensors in it"
            ) from error

    def json(self, path: str) -> Any:
        """A JSON file of the model's, None where it has none."""
        found = cached_file(
            self.name,
            path,
            revision=self.options["revision"],
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return None if found is None else json.loads(Path(found).read_text(encoding="utf-8"))

    @property
    def classifier(self) -> str | None:
        """The class that loads it with its classes, None where it has none."""
        architectures = self.config.architectures or [""]
        return next((auto for ending, auto in _AUTO[self.modality] if architectures[0].endswith(ending)), None)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes; () of one that only has numbers for them."""
        if self.classifier is None:
            return ()
        labels = {int(number): label for number, label in self.config.id2label.items()}
        names = tuple(labels[i] for i in range(len(labels)))
        return () if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names

    def classifying_net(self, inputs: str) -> nn.Module:
        """A net that gives features and the scores of the classes."""
        net = self.load(self.classifier or "")
        many = self.config.problem_type == "multi_label_classification" or len(self.classes) == _AUDIOSET_CLASSES
        head = getattr(net, "classifier", None) or getattr(net, "score", None) or getattr(net, "head", None)
        if head is None:
            raise ConfigError(f"{self.full_name}: {type(net).__name__} has no classifier whose input can be taken")
        activation = ("sigmoid" if many else "softmax") if self.classes else None
        return _Cast(WithFeatures(net, head, activation, inputs))

    def load(self, auto: str, may_lack: str = "") -> Any:
        """The net with its weights, of which only those under ``may_lack`` may be missing.

        Raises:
            ConfigError: weights are missing: transformers would make them up.
        """
        net, info = self.get(getattr(transformers, auto), use_safetensors=True, output_loading_info=True)
        missing = sorted(key for key in info["missing_keys"] if not may_lack or may_lack not in key)
        if missing:
            raise ConfigError(f"{self.full_name}: the weights lack {', '.join(missing[:3])} of {len(missing)} tensors")
        net.has_pooler = not info["missing_keys"]
        return net


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `hf:` + ``rest``.

    Raises:
        ConfigError: there is no such model, it cannot be fetched, or it is none for this modality.
    """
    source = _Source(rest, modality)
    if modality == "text":
        return _text(source, placement)
    return NetEncoder(_video(source) if modality == "video" else _audio(source), placement)


def _video(source: _Source) -> Recipe:
    config = source.config
    num_frames = int(getattr(config, "num_frames", 0))
    processor = source.get(transformers.AutoImageProcessor)
    crops = getattr(processor, "do_center_crop", None) and getattr(processor, "crop_size", None)
    side = _pixels(processor.size)
    crop = _pixels(processor.crop_size) if crops else side
    picture = Picture(max(side, crop), crop)
    normalises = getattr(processor, "do_normalize", True)
    mean = list(processor.image_mean) if normalises else [0.0] * 3
    std = list(processor.image_std) if normalises else [1.0] * 3
    scale = float(processor.rescale_factor) if getattr(processor, "do_rescale", True) else 1.0
    if getattr(processor, "offset", False):
        raise ConfigError(f"{source.full_name}: pictures scaled with an offset, as ViViT wants them, cannot be made")

    def make_net() -> nn.Module:
        if source.classifier:
            net = source.classifying_net("pixel_values")
        elif _has_tower(config, "vision_config"):
            whole = source.load("AutoModel")
            net = _Tower(whole, whole.get_image_features, "pixel_values", unused="text_model")
        else:
            net = _Pooled(source.load("AutoModel", may_lack="pooler"), "pixel_values")
        return Normalised(net, mean, std, scale=scale, channels_at=2 if num_frames else 1)

    shape = (1, num_frames) if num_frames else (1,)
    return Recipe(
        name=source.full_name,
        modality="video",
        make_net=make_net,
        items=clip_of(source.full_name, picture, num_frames) if num_frames else frames_of(source.full_name, picture),
        examples=[torch.zeros((*shape, crop, crop, 3), dtype=torch.uint8)],
        identity=source.identity,
        classes=source.classes,
        picture=picture,
        one_item=num_frames > 0,
        gpu_batch=CLIP_GPU_BATCH if num_frames else GPU_BATCH,
    )


def _audio(source: _Source) -> Recipe:
    config = source.config
    extractor = source.get(transformers.AutoFeatureExtractor)
    kind = config.model_type
    rate_hz = int(extractor.sampling_rate)
    most = {
        "clap": lambda: int(extractor.nb_max_samples),
        "whisper": lambda: int(extractor.n_samples),
        "audio-spectrogram-transformer": lambda: (int(extractor.max_length) + 1) * rate_hz // 100,
    }.get(kind, lambda: 0)()
    sound = Sound(rate_hz, most_samples=most or None)
    name = extractor.model_input_names[0]

    def extract(waveforms: Tensor) -> Tensor:
        """What the model is given of waveforms of one length: each worked on by itself."""
        made = [extractor(w.numpy(), sampling_rate=rate_hz, return_tensors="pt")[name] for w in waveforms]
        values = torch.cat(made).float()
        if kind == "whisper":  # what follows the sound is filled up again in the net
            heard = -(-(waveforms.shape[1] + extractor.n_fft // 2) // extractor.hop_length)
            return values[..., : min(heard + heard % 2, values.shape[-1])]
        return values

    def make_net() -> nn.Module:
        if source.classifier:
            return source.classifying_net(name)
        if kind == "whisper":
            return _Cast(_Whisper(source.load("AutoModel")))
        if _has_tower(config, "audio_config"):
            whole = source.load("AutoModel")
            return _Tower(whole, whole.get_audio_features, name, unused="text_model")
        return _Pooled(source.load("AutoModel", may_lack="pooler"), name)

    return Recipe(
        name=source.full_name,
        modality="audio",
        make_net=make_net,
        items=lambda segment: extract(sound(segment)),
        examples=[extract(0.1 * torch.sin(torch.arange(n) / 5.0)[None]) for n in (rate_hz, sound.least)],
        identity=source.identity,
        classes=source.classes,
        num_free_axes=2 if name == "input_values" and kind != "audio-spectrogram-transformer" else 1,
    )


def _text(source: _Source, placement: Placement) -> TextNetEncoder:
    config = source.config
    tokenizer = source.get(transformers.AutoTokenizer)
    own = getattr(config, "text_config", None) or config
    positions = int(getattr(own, "max_position_embeddings", _MOST_TOKENS))
    if getattr(own, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "clap_text_model", "mpnet"):
        positions -= 2  # these count from the padding's number on
    most = min(positions, int(tokenizer.model_max_length), 1 << 20)
    fills = "max_length" if str(config.model_type).startswith("siglip") else False  # trained on filled up texts only

    def tokens(text: str) -> Sequence[int]:
        ids: Sequence[int] = tokenizer(text, truncation=True, max_length=most, padding=fills)["input_ids"]
        return ids

    pooling = _pooling(source)

    def make_net() -> nn.Module:
        if source.classifier:
            return source.classifying_net("input_ids")
        if _has_tower(config, "text_config"):
            whole = source.load("AutoModel")
            unused = "vision_model" if hasattr(whole, "vision_model") else "audio_model"
            return _Tower(whole, whole.get_text_features, "input_ids", unused=unused)
        return _Sentence(source.load("AutoModel", may_lack="pooler"), pooling)

    def items(segment: Segment) -> Tensor:
        return torch.tensor([list(tokens(segment.text.strip()))])

    recipe = Recipe(
        name=source.full_name,
        modality="text",
        make_net=make_net,
        items=items,
        examples=[torch.tensor([list(tokens(text))]) for text in ("hello", "a man plays the guitar on stage")],
        identity=source.identity,
        classes=source.classes,
        num_free_axes=2,
    )
    return TextNetEncoder(recipe, placement, tokens)


class _Cast(nn.Module):
    """Numbers in the precision of the net's parameters, whatever they come in; token numbers as they are."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs: Tensor | tuple[Tensor, ...] = self.net(_cast(self.net, x))
        return outputs


class _Tower(nn.Module):
    """One tower of a model with two, projected into the space that they share."""

    def __init__(self, net: nn.Module, features: Callable[..., Any], inputs: str, unused: str) -> None:
        super().__init__()
        if hasattr(net, unused):
            delattr(net, unused)
        self.net = net
        self.features = features
        self.inputs = inputs

    def forward(self, x: Tensor) -> Tensor:
        inputs = {self.inputs: _cast(self.net, x)}
        if self.inputs == "input_features":  # CLAP asks whether sound was cut off, which it never is here
            inputs["is_longer"] = torch.zeros((len(x), 1), dtype=torch.bool, device=x.device)
        found = self.features(**inputs)
        vectors: Tensor = found if isinstance(found, Tensor) else found.pooler_output
        return vectors.float()


class _Pooled(nn.Module):
    """What the net pools, if it does and was trained to; else the mean over its tokens, or over the picture."""

    def __init__(self, net: Any, inputs: str) -> None:
        super().__init__()
        self.net = net
        self.inputs = inputs
        self.uses_pooler = net.has_pooler

    def forward(self, x: Tensor) -> Tensor:
        output = self.net(**{self.inputs: _cast(self.net, x)})
        pooled = getattr(output, "pooler_output", None)
        if pooled is not None and self.uses_pooler:
            vectors: Tensor = pooled.float().flatten(1)
            return vectors
        last: Tensor = output.last_hidden_state.float()
        return last.mean(1) if last.ndim == 3 else last.flatten(2).mean(2)


class _Whisper(nn.Module):
    """Whisper's encoder, the mean over the stretch that was heard; it takes 30 s, and the rest is silence."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net.get_encoder()
        self.num_frames = 2 * net.config.max_source_positions

    def forward(self, mels: Tensor) -> Tensor:
        # silence is 8 below the loudest, in log10, and never below 1e-10; both are scaled as (x + 4) / 4
        silence = (mels.amax((1, 2), keepdim=True) - 2.0).clamp_min(-1.5)
        missing = self.num_frames - mels.shape[2]
        filled = torch.cat([mels, silence.expand(-1, mels.shape[1], missing)], 2)
        last: Tensor = self.net(filled).last_hidden_state
        return last[:, : -(-mels.shape[2] // 2)].float().mean(1)


class _Sentence(nn.Module):
    """A sentence embedding of length one: the mean over the tokens, or the first."""

    def __init__(self, net: nn.Module, pooling: str) -> None:
        super().__init__()
        self.net = net
        self.pooling = pooling

    def forward(self, tokens: Tensor) -> Tensor:
        states: Tensor = self.net(input_ids=tokens).last_hidden_state.float()
        return functional.normalize(states[:, 0] if self.pooling == "cls" else states.mean(1), dim=-1)


def _cast(net: nn.Module, x: Tensor) -> Tensor:
    return x.to(next(net.parameters()).dtype) if x.is_floating_point() else x


def _has_tower(config: Any, name: str) -> bool:
    return hasattr(config, name) and hasattr(config, "projection_dim" if name == "audio_config" else "text_config")


def _pixels(size: Any) -> int:
    """The shorter side of a processor's size, which says it in one of several ways."""
    if isinstance(size, int):
        return size
    values = {key: size[key] for key in ("shortest_edge", "height", "width") if _get(size, key)}
    if not values:
        raise ConfigError(f"pictures of size {size} cannot be made")
    return int(min(values.values()))


def _get(size: Any, key: str) -> Any:
    return size.get(key) if isinstance(size, Mapping) else getattr(size, key, None)


def _pooling(source: _Source) -> str:
    """How a sentence transformer pools: ``mean`` or ``cls``.

    Raises:
        ConfigError: in another way, or with layers behind it.
    """
    modules = source.json("modules.json") or []
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if others := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        raise ConfigError(f"{source.full_name}: a sentence transformer with {', '.join(others)} cannot be run")
    if "Pooling" not in kinds:
        return "mean"
    said = source.json(f"{modules[kinds.index('Pooling')]['path']}/config.json") or {}
    modes = [key.removeprefix("pooling_mode_") for key, value in said.items() if value is True and "_mode_" in key]
    mode = said.get("pooling_mode") or "+".join(modes) or "mean"
    found = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls"}.get(str(mode))
    if found is None:
        raise ConfigError(f"{source.full_name}: a sentence transformer that pools by {mode} cannot be run")
    return found
