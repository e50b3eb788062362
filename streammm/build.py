"""Configuration -> the parts of the pipeline. The only module that knows both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streammm.config import Config, LabelEventsConfig, seconds
from streammm.errors import ConfigError
from streammm.event_rows import EventSettings
from streammm.labels import DEFAULT_THRESHOLD, Label
from streammm.media.cutting import Windows
from streammm.media.filter import SourceFilter
from streammm.media.listing import MEDIA_SUFFIXES, ListingOptions
from streammm.media.network import NetworkOptions
from streammm.media.options import DecodeOptions, Limits, LiveOptions, SpeechWindow
from streammm.media.store import READ_SECONDS
from streammm.types import MODALITIES, Modality

if TYPE_CHECKING:  # torch takes seconds to import, and those who only decode do not need it
    from streammm.classifier import Classifier
    from streammm.encoders.base import Encoder, Picture
    from streammm.encoders.net import NetEncoder
    from streammm.fusion.vocabulary import Vocabulary


_OF_NO_ROW = ("journal", "deliver_seconds")
"""Settings of output on which rows do not depend."""


def used_modalities(config: Config) -> tuple[Modality, ...]:
    """The modalities that count: those whose weight is above 0, and that a trained model knows."""
    used = tuple(m for m in MODALITIES if config.fusion.weights[m] > 0)
    if config.model is None:
        return used
    from streammm.fusion.card import read_card

    return tuple(m for m in used if m in read_card(Path(config.model)).dims)


def loaded_encoders(config: Config) -> tuple[Modality, ...]:
    """The modalities whose encoders are needed: that of text also reads the labels, where no model knows them."""
    used = used_modalities(config)
    return tuple(m for m in MODALITIES if m in used or (m == "text" and reads_labels(config)))


def reads_labels(config: Config) -> bool:
    """Whether labels are looked up by what they mean: not where a model knows its own, or where there are none."""
    return config.model is None and config.labels != {}


def decode_options(config: Config) -> DecodeOptions:
    """How to decode and cut; the pictures are those that the encoder of video wants.

    Raises:
        ConfigError: there is no such encoder.
    """
    segment = config.segment
    picture = _picture(config)
    return DecodeOptions(
        windows=Windows(
            seconds(segment.length_seconds),
            seconds(segment.hop_seconds or segment.length_seconds),
            seconds(segment.frames_per_second),
        ),
        max_shot_seconds=seconds(segment.max_shot_seconds) if segment.by == "shots" else None,
        speech=SpeechWindow(seconds(config.speech.before_seconds)) if config.speech.recogniser else None,
        mode=config.decode.mode,
        max_difference=config.decode.max_difference,
        hardware=config.decode.hardware,
        shorter_side=picture.shorter_side,
        crop=picture.crop,
        threads=config.decode.threads,
        max_pixels=config.decode.max_pixels,
        network=NetworkOptions(**dict(config.network)),
        live=LiveOptions(**dict(config.live)),
        limits=Limits(config.decode.memory_mb * 2**20, config.decode.progress_seconds, config.decode.segment_seconds),
        filter=SourceFilter(config.sources.min_seconds, config.sources.max_seconds, config.sources.require),
    )


def listing_options(config: Config) -> ListingOptions:
    """What is taken of directories and lists."""
    named = config.sources.extensions
    return ListingOptions(
        MEDIA_SUFFIXES if named is None else frozenset(named),
        config.sources.deduplicate,
        config.network.read_seconds or READ_SECONDS,
    )


def with_precision(config: Config, earlier: str | None = None, *, is_here: bool = True) -> Config:
    """The same with ``runtime.precision`` decided, once for all who work on a run.

    Args:
        earlier: what a run that is to go on was made in.
        is_here: False where other machines do the work: they may differ, and all of them can do fp32.
    """
    runtime = config.runtime
    if runtime.precision != "auto":
        return config
    precision = earlier or "fp32"
    if earlier is None and is_here:
        from streammm.encoders.trial import Place, precision_for

        looked_at: dict[Modality, str] = {
            m: getattr(config.encoders, m) for m in used_modalities(config) if m != "text"
        }
        backend = "torch" if runtime.torch_compile else runtime.backend
        precision = precision_for(looked_at, Place(backend, runtime.device, runtime.threads))
    return config.model_copy(update={"runtime": runtime.model_copy(update={"precision": precision})})


def make_encoder(config: Config, modality: Modality) -> Encoder:
    """The encoder of a modality, not yet set up.

    Raises:
        ConfigError: there is no encoder of that name for that modality, something that it needs is missing, or it
            hands on what privacy.keeps does not allow.
    """
    from streammm.encoders.content import is_content

    encoder = _found(config, modality)
    if not config.privacy.keeps_media and is_content(name := getattr(config.encoders, modality)):
        keeps = config.privacy.keeps
        raise ConfigError(f"encoders.{modality}: {name} hands on what it looks at, and privacy.keeps is {keeps}")
    return _listening(config, encoder) if modality == "text" and config.speech.recogniser else encoder


def tuned_encoders(config: Config) -> dict[Modality, NetEncoder]:
    """The encoders that training is to train further.

    Raises:
        ConfigError: one of them cannot be trained, or is not used.
    """
    if not config.training.fine_tune:
        return {}
    from streammm.encoders.tuned import tunable

    found: dict[Modality, NetEncoder] = {}
    for modality in config.training.fine_tune:
        name = getattr(config.encoders, modality)
        if modality not in used_modalities(config):
            raise ConfigError(f"training.fine_tune: {modality} has no weight in fusion.weights")
        encoder = tunable(_found(config, modality))
        if encoder is None:
            raise ConfigError(f"training.fine_tune: {name} (encoders.{modality}) is no published net to train further")
        found[modality] = encoder
    return found


def training_inputs(config: Config) -> Config:
    """The configuration under which features for training are extracted: raw content for what is trained further.

    Raises:
        ConfigError: as `tuned_encoders`.
    """
    from streammm.encoders.content import content_name

    content: dict[str, str] = {m: content_name(m, encoder.picture) for m, encoder in tuned_encoders(config).items()}
    return config.model_copy(update={"encoders": config.encoders.model_copy(update=content)})


def _found(config: Config, modality: Modality) -> Encoder:
    from streammm.encoders import find

    settings = config.runtime.model_dump()
    if modality == "text":
        settings["precision"] = "fp32"  # labels are to mean the same on every machine, and there is little to read
    try:
        return find(getattr(config.encoders, modality), modality, runtime=settings.pop("backend"), **settings)
    except ConfigError as error:
        raise ConfigError(f"encoders.{modality}: {error}") from error


def _listening(config: Config, encoder: Any) -> Encoder:
    """The text encoder with the recogniser of the configuration before it."""
    from streammm.encoders.placement import Placement
    from streammm.speech import make_recogniser
    from streammm.speech.text import ListeningReader

    runtime = config.runtime
    recogniser = make_recogniser(
        str(config.speech.recogniser),
        language=config.speech.language,
        device=Placement(runtime.backend, runtime.device).resolved().device,
        threads=runtime.threads,
    )
    return ListeningReader(encoder, recogniser)


def make_vocabulary(config: Config, text_encoder: Any) -> Vocabulary:
    """The labels of the configuration, worded for every modality by the encoder that reads text. Not for a model.

    Raises:
        ConfigError: a label cannot be used, or the encoders cannot judge labels without training.
    """
    from streammm.fusion.vocabulary import GENERAL_LABELS, build_vocabulary

    if not hasattr(text_encoder, "embed"):
        raise ConfigError(f"encoders.text: {config.encoders.text} makes no vectors of labels; minilm and hf:... do")
    return build_vocabulary(
        GENERAL_LABELS if config.labels is None else config.labels,
        text_encoder.embed,
        picture_classes=_classes(config, "video"),
        sound_classes=_classes(config, "audio"),
        distractors=config.distractors,
    )


def read_vocabulary(config: Config) -> Vocabulary | None:
    """The vocabulary by a text encoder that is loaded for nothing else; None where no labels are looked up.

    Raises:
        ConfigError: as `make_vocabulary`.
    """
    if not reads_labels(config):
        return None
    nobody = config.speech.model_copy(update={"recogniser": None})
    encoder = make_encoder(config.model_copy(update={"speech": nobody}), "text")
    encoder.setup()
    return make_vocabulary(config, encoder)


def start_vocabulary(config: Config, labels: Sequence[str]) -> tuple[Vocabulary | None, str]:
    """What the labels of a training mean, if it is to begin with that, and why not where it was not forbidden.

    A label is looked up by its phrases in the configuration, else by its name, in which _ stands for a blank.

    Raises:
        ConfigError: it is asked for and cannot be, or the configuration knows labels that there are not.
    """
    from streammm.fusion.vocabulary import build_vocabulary

    said = config.labels or {}
    if unknown := [name for name in said if name not in labels]:
        raise ConfigError(f"labels: {unknown[0]!r} is none of the labels {', '.join(labels)}")
    if config.training.start == "nothing":
        return None, ""
    words = {name: said.get(name, Label()) for name in labels if name != config.training.background}
    words = {
        name: label if label.phrases else label.model_copy(update={"phrases": (name.replace("_", " ").lower(),)})
        for name, label in words.items()
    }
    try:
        encoder = _found(config, "text")
        if not hasattr(encoder, "embed"):
            raise ConfigError(f"{config.encoders.text} makes no vectors of labels; minilm and hf:... do")
        classes = {m: _classes_if_any(config, m) for m in ("audio", "video")}
        if not any(classes.values()):
            raise ConfigError("the encoders have no classes to look labels up among")
        encoder.setup()
        found = build_vocabulary(
            words,
            encoder.embed,
            picture_classes=classes["video"],
            sound_classes=classes["audio"],
            distractors=config.distractors,
        )
    except ConfigError as error:
        if config.training.start == "labels":
            raise ConfigError(f"training.start: labels: {error}") from error
        return None, f"it begins with nothing: {error}"
    return found, ""


def label_thresholds(config: Config) -> dict[str, float]:
    """The score from which each label counts as there: its own, that of the trained model, or the default."""
    from streammm.fusion.general_labels import GENERAL_LABELS

    if config.model is not None:
        from streammm.fusion.card import read_card

        card = read_card(Path(config.model))
        return {name: card.thresholds.get(name, 0.5) for name in card.labels if name != card.background}
    if config.labels is None:
        return dict.fromkeys(GENERAL_LABELS, DEFAULT_THRESHOLD)
    return {name: label.threshold or DEFAULT_THRESHOLD for name, label in config.labels.items()}


def make_classifier(config: Config, vocabulary: Vocabulary | None) -> Classifier:
    """Fusion and row format: of the trained model that the configuration names, or else for a vocabulary.

    Raises:
        ConfigError: the model cannot be read, or was trained on other encoders.
    """
    from streammm.classifier import Classifier, Fusion
    from streammm.fusion.model import ZeroShotFusion
    from streammm.fusion.nothing import NoFusion

    fusion: Fusion
    if config.model is not None:
        from streammm.fusion.trained import load_model

        fusion = load_model(Path(config.model))
        for modality, name in fusion.card.encoders.items():
            ours = getattr(config.encoders, modality)
            if ours != name and ours != name.replace(":", f":{config.model}/", 1):
                raise ConfigError(f"encoders.{modality}: the model {config.model} was trained on {name}, not on {ours}")
    elif vocabulary is None:
        fusion = NoFusion()
    else:
        fusion = ZeroShotFusion(vocabulary, config.fusion.weights, config.fusion.smoothing_seconds)
    return Classifier(
        fusion,
        model_name(config),
        config.output.top_labels,
        with_text=config.output.text,
        thresholds=label_thresholds(config),
    )


def make_events(config: Config, vocabulary: Vocabulary | None) -> EventSettings | None:
    """What makes events of the labels of a trained model or of a vocabulary; None where none are to be made.

    What the configuration says of a label comes first, then what it says of all, then what the model was tuned to.

    Raises:
        ConfigError: a label is set that there is not, or one would end above the score that opens it.
    """
    labels, tuned = _tuned_events(config, vocabulary)
    if not config.events.enabled or not labels:
        return None
    if unknown := sorted(set(config.events.labels) - set(labels)):
        raise ConfigError(f"events.labels: {unknown[0]!r} is none of the labels {', '.join(labels)}")
    for n, alert in enumerate(config.alerts):
        if unknown := sorted(set(alert.labels) - set(labels)):
            raise ConfigError(f"alerts.{n}.labels: {unknown[0]!r} is none of the labels {', '.join(labels)}")
    found = []
    for label in labels:
        own, before = config.events.labels.get(label, LabelEventsConfig()), tuned.get(label, LabelEventsConfig())

        def value(name: str, default: float, own: Any = own, before: Any = before) -> float:
            for section in (own, config.events, before):
                if (chosen := getattr(section, name)) is not None:
                    return float(chosen)
            return default

        opens = value("open_score", DEFAULT_THRESHOLD)
        closes = value("close_score", opens / 2)
        is_set = own.close_score is not None or config.events.close_score is not None
        if closes > opens and is_set:
            raise ConfigError(f"events: {label} closes below {closes:g}, which is above {opens:g}, where it opens")
        found.append((opens, min(opens, closes), value("min_seconds", 0.0), value("merge_seconds", 2.0)))
    opens_, closes_, least, merge = zip(*found, strict=True)
    return EventSettings(labels, opens_, closes_, least, merge, config.events.gap_seconds, model_name(config))


def _tuned_events(
    config: Config, vocabulary: Vocabulary | None
) -> tuple[tuple[str, ...], dict[str, LabelEventsConfig]]:
    """The labels, and what is known of each one's events without the configuration's section of events."""
    tuned = {label: LabelEventsConfig(open_score=score) for label, score in label_thresholds(config).items()}
    if config.model is None:
        return (vocabulary.labels if vocabulary is not None else ()), tuned
    from streammm.fusion.card import read_card

    card = read_card(Path(config.model))
    tuned |= {label: LabelEventsConfig(**events.model_dump()) for label, events in card.events.items()}
    return tuple(label for label in card.labels if label != card.background), tuned


def identity(config: Config) -> dict[str, Any]:
    """All that rows depend on, by key: the settings that matter and the weights of the encoders that are used."""
    from streammm.speech import recogniser_identity

    used = loaded_encoders(config)
    sections = config.model_dump(
        mode="json", include={"labels", "segment", "encoders", "speech", "fusion", "events", "output"}
    )
    found: dict[str, Any] = {"labels": sections.pop("labels")}
    if config.distractors:
        found["distractors"] = list(config.distractors)
    if config.model is not None:
        found["model"] = model_digest(config)
    for section, values in sections.items():
        found |= {f"{section}.{key}": value for key, value in values.items() if key not in _OF_NO_ROW}
    found |= {f"decode.{key}": getattr(config.decode, key) for key in ("mode", "threads")}
    if config.decode.mode == "adaptive":
        found["decode.max_difference"] = config.decode.max_difference
    found["runtime.precision"] = config.runtime.precision
    for modality in MODALITIES:
        if modality in used:
            found[f"weights of {getattr(config.encoders, modality)}"] = weights_of(config, modality)
    if config.speech.recogniser:
        found["weights of the recogniser"] = recogniser_identity(config.speech.recogniser).get("weights")
    return found


def feature_identity(config: Config) -> dict[str, Any]:
    """All that embeddings depend on, by key: `identity` without labels, fusion, events and what a row holds."""
    return {
        key: value
        for key, value in identity(config).items()
        if key not in ("labels", "distractors", "model") and not key.startswith(("fusion.", "events.", "output."))
    }


def model_name(config: Config) -> str:
    """Names all that the numbers in a row depend on: the encoders, and a digest of the settings that matter."""
    from streammm.speech import recogniser_identity

    encoders = "+".join(getattr(config.encoders, m) for m in ("video", "audio", "text") if m in used_modalities(config))
    matters = config.model_dump(mode="json", include={"labels", "segment", "encoders", "fusion"})
    if config.distractors:
        matters["distractors"] = list(config.distractors)
    matters["precision"] = config.runtime.precision
    matters["mode"] = config.decode.mode
    if config.decode.mode == "adaptive":
        matters["max_difference"] = config.decode.max_difference
    if config.model is not None:
        matters["model"] = model_digest(config)
    own = {m: weights_of(config, m) for m in used_modalities(config) if not is_built_in(config, m)}
    if own:
        matters["weights"] = own
    if config.speech.recogniser:
        recogniser = recogniser_identity(config.speech.recogniser)
        encoders += "+" + recogniser["name"]
        matters["speech"] = {**config.speech.model_dump(mode="json"), "recogniser": recogniser}
    digest = hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()
    return f"{encoders}:{digest[:8]}"


def model_digest(config: Config) -> str:
    """Names the trained model of the configuration by its content, wherever it lies."""
    from streammm.fusion.card import digest_of

    assert config.model is not None
    return digest_of(Path(config.model))


def num_decoders(config: Config, num_sources: int, cores: int) -> int:
    """How many decode workers to make where nothing is set: one a core, at most one a source."""
    return config.engine.decoders or max(1, min(num_sources, cores))


def is_built_in(config: Config, modality: Modality) -> bool:
    """Whether the encoder of a modality is one of streammm's own."""
    from streammm.encoders import BUILT_IN

    return getattr(config.encoders, modality) in BUILT_IN


def _picture(config: Config) -> Picture:
    """The pictures that are looked at: known without loading any weights, of the built-in encoder without torch."""
    from streammm.encoders.base import USUAL_PICTURE

    if "video" not in used_modalities(config) or is_built_in(config, "video"):
        return USUAL_PICTURE
    picture: Picture = getattr(make_encoder(config, "video"), "picture", USUAL_PICTURE)
    return picture


def _classes_if_any(config: Config, modality: Modality) -> tuple[str, ...]:
    """As `_classes`; () also where there are none, or raw content is taken for an encoder to be trained further."""
    if modality in config.training.fine_tune:
        return ()
    try:
        return _classes(config, modality)
    except ConfigError:
        return ()


def _classes(config: Config, modality: Modality) -> tuple[str, ...]:
    """What the classes of an encoder are, in words, for labels to be looked up among them; () where it is not used."""
    if modality not in used_modalities(config):
        return ()
    name = getattr(config.encoders, modality)
    if name == "efficientnet_lite0":
        from streammm.encoders.image import imagenet_classes

        return imagenet_classes()[1]
    if name == "yamnet":
        from streammm.encoders.audio import audioset_classes

        return audioset_classes()
    encoder = make_encoder(config, modality)
    classes: tuple[str, ...] = getattr(encoder, "descriptions", ()) or encoder.classes
    if not classes:
        raise ConfigError(
            f"encoders.{modality}: {name} has no classes to look labels up among; it needs a fusion that was trained, "
            f"or leave it out with fusion.weights={{{modality}: 0}}"
        )
    return classes


def weights_of(config: Config, modality: Modality) -> list[str]:
    """What names the weights of an encoder: digests of files, or where they come from."""
    from streammm.encoders.weights import MODELS

    name = getattr(config.encoders, modality)
    if name in MODELS:
        return sorted(MODELS[name].files.values())
    return list(getattr(make_encoder(config, modality), "identity", ()))
