"""Configuration: YAML and ``a.b=c`` settings -> one frozen, checked value. Knows no classes of the pipeline."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from streammm.alerts import minutes_of
from streammm.errors import ConfigError
from streammm.labels import DEFAULT_THRESHOLD, Label, Phrases, listed_labels, plain_labels
from streammm.types import MODALITIES, Modality

MODEL_SETTINGS_FILE = "config.yaml"
"""In the directory of a trained model: the settings under which it was trained, and is run unless others are given."""

LABELS_FILE_SUFFIXES = (".yaml", ".yml", ".json")

_SETTINGS_OF_A_MODEL = frozenset({"encoders", "segment", "decode", "speech", "training"})
"""What it may say: it may come from a stranger, and must not name programs, addresses or databases."""

_BASE_WEIGHTS: dict[Modality, float] = {"video": 1.0, "audio": 1.0, "text": 0.5}

Positive = Annotated[float, Field(gt=0)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class SegmentConfig(_Section):
    """How sources are cut into segments."""

    length_seconds: Positive = Field(2.0, description="Length of a segment.")
    hop_seconds: Positive | None = Field(
        None,
        description="From one segment's start to the next; below the length they overlap. Default: the length.",
    )
    frames_per_second: Positive = Field(
        2.0, description="Pictures looked at a second, each the one shown mid-interval."
    )
    by: Literal["windows", "shots"] = Field(
        "windows", description="windows: as above. shots: cut where the shot changes; for files only."
    )
    max_shot_seconds: Positive = Field(10.0, description="A longer shot is cut every so often.")

    @model_validator(mode="after")
    def _hop_fits(self) -> Self:
        if self.hop_seconds is not None and self.hop_seconds > self.length_seconds:
            raise ValueError(f"hop_seconds {self.hop_seconds} must not exceed length_seconds {self.length_seconds}")
        return self


class SourcesConfig(_Section):
    """What is taken of directories and lists, and what of that is left out for what it is."""

    extensions: tuple[str, ...] | None = Field(
        None, description="Endings of the files that are taken of a directory, such as .mp4. Default: all media."
    )
    deduplicate: Literal["path", "content"] = Field(
        "path",
        description="Which sources are the same, and done once: those of one path, or those of equal bytes; in a store "
        "(S3, GCS) those of equal size and checksum.",
    )
    min_seconds: Positive | None = Field(
        None,
        description="A file that says to be shorter is skipped. One that does not say how long it is, and what is "
        "live, is not.",
    )
    max_seconds: Positive | None = Field(None, description="A file that says to be longer is skipped.")
    require: tuple[Modality, ...] = Field(
        (), description="A file without these is skipped: video, audio, text. Captions beside it are text."
    )

    @field_validator("extensions")
    @classmethod
    def _with_dots(cls, extensions: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if extensions is None else tuple("." + e.strip().lower().lstrip(".") for e in extensions)

    @model_validator(mode="after")
    def _something_passes(self) -> Self:
        if self.min_seconds is not None and self.max_seconds is not None and self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds {self.min_seconds} must not exceed max_seconds {self.max_seconds}")
        return self


class DecodeConfig(_Section):
    """How media is decoded, and what it may use: each source is read in a process of its own."""

    mode: Literal["exact", "adaptive", "fast", "keyframes"] = Field(
        "exact",
        description="Which pictures are decoded. exact: all that can matter, so that each picture looked at is the one "
        "shown at its time. adaptive: as exact, but of what lies between two key pictures that are alike only the "
        "first, for footage in which little happens. fast: those that others refer to; a "
        "picture may be a few frames early. keyframes: key pictures only, often seconds early.",
    )
    max_difference: Positive = Field(
        1.0,
        description="By how much key pictures that are alike differ in the mean, on a scale of 255; for adaptive only. "
        "More decodes less and misses more.",
    )
    hardware: str | None = Field(
        None, description="Device that decodes video where it can, such as cuda. Default: the processor."
    )

    threads: Count = Field(
        1,
        description="Threads a video decoder may use: more finish a single file sooner and cost more in all. "
        "The only setting of speed on which rows depend, and only where a file is damaged.",
    )
    max_pixels: Count = Field(100_000_000, description="A picture with more pixels than this is refused, not decoded.")
    memory_mb: Count = Field(2048, description="Memory that decoding one source may allocate, in MiB.")
    progress_seconds: Positive = Field(
        30.0, description="A decoder that says nothing for so long has hung, and is ended."
    )
    segment_seconds: Positive = Field(
        600.0, description="A decoder that reads for so long without coming to another segment is ended."
    )


class NetworkConfig(_Section):
    """What is read over a network. Credentials: write ${NAME} in an address, it is taken from the environment."""

    allowed_hosts: tuple[str, ...] = Field(
        (), description="Hosts that playlists and redirects may lead to besides the source's own; *.example.org works."
    )
    rtsp_transport: Literal["tcp", "udp"] = Field("tcp", description="What RTSP carries its streams over.")
    open_seconds: Positive = Field(10.0, description="How long connecting may take.")
    read_seconds: Positive | None = Field(
        None,
        description="How long nothing may come: a stream is opened again then, a file in a store is given up. "
        "Default: by protocol, 4 to 60 s.",
    )
    ca_file: str | None = Field(None, description="Certificates to trust for https. Default: the usual ones.")


class LiveConfig(_Section):
    """How live sources are followed."""

    max_lead_seconds: Positive = Field(4.0, description="How far sound or picture is waited for behind the other.")
    queue_segments: Count = Field(2, description="Segments kept for encoders that are too slow; then the oldest goes.")
    nonref_lag_seconds: Positive = Field(
        2.0, description="Lag from which pictures that no other refers to are not decoded."
    )
    nonkey_lag_seconds: Positive = Field(5.0, description="Lag from which only key pictures are decoded.")
    restore_lag_seconds: Positive = Field(0.5, description="Lag below which everything is decoded again.")
    reopen_lag_seconds: Positive = Field(10.0, description="Lag from which the connection is made anew.")
    first_backoff_seconds: Positive = Field(0.5, description="Pause before the first try to connect again.")
    max_backoff_seconds: Positive = Field(30.0, description="The pause doubles with each try, up to this.")
    connect_seconds: Positive = Field(
        30.0, description="A source that was never reached for so long is given up; one that was reached never is."
    )
    max_seconds: Positive | None = Field(None, description="Ends live sources after so long. Default: never.")


class EncodersConfig(_Section):
    """Which model looks, listens and reads: built in, or named as `streammm models` says, such as timm:resnet50."""

    video: str = Field("efficientnet_lite0", description="Looks at the pictures.")
    audio: str = Field("yamnet", description="Listens to the sound.")
    text: str = Field("minilm", description="Reads subtitles and captions, and the names of the labels.")


class RuntimeConfig(_Section):
    """What the encoders run on."""

    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="auto: torch; on a CPU OpenVINO for the built-in encoders where it is installed.",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Arithmetic of the encoders that look and listen; text is read in fp32. auto: the quickest that "
        "agrees with fp32, found out once on this machine, see `streammm models --bench`; on a cluster fp32.",
    )
    threads: Count = Field(1, description="Threads each encoder may use on a CPU.")
    torch_compile: bool = Field(
        False, description="Compile the nets with torch.compile at the start, which takes minutes; backend torch only."
    )


class SpeechConfig(_Section):
    """Text from speech: what is said is recognised where a segment has no captions, and read as they are."""

    recogniser: str | None = Field(
        None,
        description="pocketsphinx; whisper:tiny.en; whisper:NAME, which is fetched from the Hugging Face hub; or "
        "whisper:DIRECTORY with a model for CTranslate2. Default: none.",
    )
    language: str = Field("en", description="What is spoken. The text encoder and the models in packages know English.")
    before_seconds: Annotated[float, Field(ge=0, le=20)] = Field(
        3.0,
        description="Sound before a segment that is listened to again, so that words which its start cuts are whole; "
        "half a second after it is listened to as well, so that segments come that much later.",
    )


class FusionConfig(_Section):
    """How picture, sound and text become one answer."""

    weights: dict[Modality, Annotated[float, Field(ge=0)]] = Field(
        _BASE_WEIGHTS,
        description="How much each modality counts before its reliability in a segment is known; 0 leaves it out. "
        "What is talked about need not be there, so text counts half.",
    )
    smoothing_seconds: Annotated[float, Field(ge=0)] = Field(
        1.5, description="Time constant of the smoothing over time; 0 judges every segment by itself."
    )

    @field_validator("weights")
    @classmethod
    def _complete(cls, weights: dict[Modality, float]) -> dict[Modality, float]:
        complete: dict[Modality, float] = {m: weights.get(m, _BASE_WEIGHTS[m]) for m in MODALITIES}
        if not any(complete.values()):
            raise ValueError("at least one modality needs a weight above 0")
        return complete


class LabelEventsConfig(_Section):
    """What makes an event of one label; what is not set is as for all."""

    open_score: Share | None = None
    close_score: Share | None = None
    min_seconds: NotNegative | None = None
    merge_seconds: NotNegative | None = None

    @model_validator(mode="after")
    def _closes_below(self) -> Self:
        _check_scores(self.open_score, self.close_score)
        return self


class EventsConfig(_Section):
    """Events: when a label began, went on and ended, as rows of their own."""

    enabled: bool = Field(True, description="Make events.")
    open_score: Share | None = Field(
        None,
        description="Score from which a label is an event. Default: what its model or the label itself says, else "
        f"{DEFAULT_THRESHOLD}.",
    )
    close_score: Share | None = Field(
        None, description="Score below which it ends. Default: what its model says, else half of that which opens it."
    )
    min_seconds: NotNegative | None = Field(
        None, description="Events shorter than this are none. Default: what the model says, else 0."
    )
    merge_seconds: NotNegative | None = Field(
        None,
        description="Events of a label with a pause of no more than this are one, which closes so much later. Default: "
        "what the model says, else 2.",
    )
    gap_seconds: NotNegative = Field(
        1.0, description="What is missing of a source for longer than this, as in an outage, counts as such a pause."
    )
    labels: dict[str, LabelEventsConfig] = Field(
        {}, description="The same by label, such as {music: {open_score: 0.6, min_seconds: 4}}."
    )

    @model_validator(mode="after")
    def _closes_below(self) -> Self:
        _check_scores(self.open_score, self.close_score)
        return self


def _check_scores(open_score: float | None, close_score: float | None) -> None:
    if open_score is not None and close_score is not None and close_score > open_score:
        raise ValueError(f"close_score {close_score} must not exceed open_score {open_score}")


class TrainingConfig(_Section):
    """How `streammm train` makes a model."""

    task: Literal["auto", "multi_class", "multi_label"] = Field(
        "auto", description="One label at a time or several; auto: several where labels overlap."
    )
    background: str = Field(
        "none", description="The label, if there is one of this name, that means none of the others."
    )
    validation_split: str | None = Field(
        None, description="What the labels call the part that chooses the epoch, such as a fold's number."
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of the sources that chooses it, where the labels name no part for that."
    )
    join: Literal["weighted_sum", "concat", "gated"] = Field("gated", description="How modalities become one.")
    memory: Literal["none", "ema", "gru", "ssm", "attn"] = Field(
        "ssm", description="What is remembered of earlier segments: nothing, an average, or what is learned to matter."
    )
    look_ahead: Annotated[int, Field(ge=0)] = Field(0, description="Segments that an answer waits for after its own.")
    start: Literal["auto", "labels", "nothing"] = Field(
        "auto",
        description="What is learned is added to: labels: what the labels mean, as without training, so that a few "
        "examples of each are enough. auto: that, where the encoders have classes to look them up among.",
    )
    width: Count = Field(128, description="Channels of the network.")
    epochs: Count = Field(60, description="How often all is gone through, at most.")
    patience: Count = Field(15, description="Epochs without a better validation that end it.")
    learning_rate: Positive | None = Field(None, description="Default: 0.001 to 0.01, by the number of segments.")
    fine_tune: tuple[Modality, ...] = Field(
        (),
        description="Modalities whose encoders, such as efficientnet_lite0 or timm:resnet50, are trained further: slow "
        "without a GPU.",
    )
    fine_tune_learning_rate: Positive = Field(0.0001, description="Of the encoders that are trained further.")
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="Share of modalities left out at random, so that each learns to do without the others."
    )
    balance_classes: bool = Field(False, description="Let rare labels count as much as frequent ones.")
    seed: int = Field(0, description="Of everything that is drawn at random.")


class OutputConfig(_Section):
    """What a row holds, and where rows are kept."""

    top_labels: Count = Field(10, description="How many labels a row lists, best first, fused and per modality.")
    embeddings: bool = Field(
        False,
        description="Keep what the encoders made of each segment in the journal, beside its row: for training, other "
        "labels later without decoding, and searching. About 12 kB a segment with pictures and sound.",
    )
    text: bool = Field(
        False, description="Rows hold the captions or recognised words themselves, with their times, not only labels."
    )
    journal: str | None = Field(
        None,
        description="Database that rows, cursors and fusion state are committed to, such as "
        "postgresql+psycopg://USER@HOST/NAME with the password in PGPASSWORD. Default: SQLite in the run directory.",
    )
    deliver_seconds: Annotated[float, Field(ge=0)] = Field(
        60.0,
        description="How long, at the end of a run, a sink that cannot be reached is still tried; the rest is kept "
        "for `streammm deliver`.",
    )


class PrivacyConfig(_Section):
    """What of media may leave the workers; docs/privacy.md says what is stored where."""

    keeps: Literal["everything", "embeddings", "scores"] = Field(
        "everything",
        description="everything: what output asks for. embeddings: no picture, sound or words, also in reports and "
        "messages; scores and embeddings only. scores: scores only.",
    )
    faces: Literal["keep", "blur"] = Field(
        "keep",
        description="blur: faces that are found in the pictures of reports are blurred, which may miss some; the page "
        "of streammm watch has no pictures then.",
    )

    @property
    def keeps_media(self) -> bool:
        """Whether pictures, sound and words may leave the workers."""
        return self.keeps == "everything"

    @property
    def shows_frames(self) -> bool:
        """Whether a picture may be shown as it is."""
        return self.keeps_media and self.faces == "keep"


class RetentionConfig(_Section):
    """How long a run directory keeps rows, events and embeddings; never less than until all sinks have them."""

    max_age_days: Positive | None = Field(None, description="What is older is removed. Default: kept for ever.")
    max_size_mb: Positive | None = Field(
        None, description="The oldest is removed while the run directory is larger, in MiB. Default: any size."
    )


class SinkConfig(_Section):
    """Where rows, events and what was given up are delivered, besides the run directory. Only ``to`` must be there."""

    to: str = Field(
        description="jsonl:PATH, csv:PATH, parquet:PATH or parquet:s3://..., webvtt:DIRECTORY, srt:DIRECTORY, "
        "edl:DIRECTORY, sqlite:///PATH, postgresql://USER@HOST/NAME, kafka://HOST:9092/TOPIC, mqtt://HOST/TOPIC, "
        "https://... or - for standard output. Credentials: write ${NAME}, it is taken from the environment."
    )
    name: str | None = Field(
        None, min_length=1, description="By which a run that goes on knows it. Default: the address."
    )
    kinds: tuple[Literal["row", "event", "quarantine"], ...] | None = Field(
        None, min_length=1, description="What it is told. Default: all; files of lines and standard output, rows."
    )
    partition_by: Literal["none", "date", "source"] | None = Field(
        None, description="Of Parquet: directories by the day of a live source, or by source. Default: none."
    )
    frames_per_second: Positive | None = Field(None, description="Of EDL: of the timeline. Default: 25.")
    timecode: str | None = Field(
        None,
        pattern=r"^\d\d:[0-5]\d:[0-5]\d:\d\d$",
        description="Of EDL: with which the timeline begins. Default: 00:00:00:00.",
    )
    secret: str | None = Field(
        None, description="Of webhooks: ${NAME} of what signs. Default: STREAMMM_WEBHOOK_SECRET, if it is set."
    )
    batch_entries: Count | None = Field(
        None, description="Of Parquet and webhooks: the most entries of a part or a request. Default: 20000; 100."
    )
    linger_seconds: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Of Parquet and webhooks: how long fewer may wait. Default: 60; 1."
    )
    timeout_seconds: Positive | None = Field(None, description="Of servers: how long an answer may take. Default: 30.")


class AlertConfig(_Section):
    """When somebody is told of an event, once. Only where to must be there: ``to`` or ``command``."""

    name: str | None = Field(
        None, min_length=1, description="By which a run that goes on knows it. Default: its labels."
    )
    labels: tuple[str, ...] = Field((), description="Events of these labels. Default: of all.")
    score: Share = Field(0.0, description="The score that the label must have all the time.")
    duration_seconds: NotNegative = Field(0.0, description="For how long.")
    cooldown_seconds: NotNegative = Field(
        0.0,
        description="After an alert there is none of the same source for so long; an event that still holds then is "
        "told then.",
    )
    hours: tuple[str, ...] = Field(
        (), description="Times of the day, such as 22:00-06:00. Files have none: where this is set, none are told of."
    )
    weekdays: tuple[Weekday, ...] = Field((), description="Days on which the hours begin, such as [sat, sun].")
    time_zone: str | None = Field(None, description="Of the hours, such as Europe/Berlin. Default: this machine's.")
    sources: str = Field("*", description="Pattern of the sources, with * and ?.")
    max_age_seconds: Positive = Field(
        3600.0, description="What a live source showed longer ago, as while nobody could be told, is told no more."
    )
    to: str | None = Field(None, description="https://... or mqtt://HOST/TOPIC; credentials as in sinks.")
    secret: str | None = Field(None, description="As in sinks.")
    command: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="A program and its arguments, which is given the alert as JSON on its standard input.",
    )
    timeout_seconds: Positive | None = Field(None, description="How long that, or an answer, may take. Default: 30.")

    @field_validator("labels", "hours", "weekdays", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _parts(value)

    @field_validator("hours")
    @classmethod
    def _spans(cls, hours: tuple[str, ...]) -> tuple[str, ...]:
        for span in hours:
            minutes_of(span)
        return hours

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (OSError, ValueError, ZoneInfoNotFoundError) as error:
                raise ValueError(f"there is no time zone {name!r}, such as Europe/Berlin") from error
        return name

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.to is None) == (self.command is None):
            raise ValueError("an alert has either to or command")
        return self

    @property
    def title(self) -> str:
        """Its name, which tells it from others."""
        return self.name or f"alert {', '.join(self.labels) or 'any'}"


class WatchConfig(_Section):
    """What `streammm watch` shows."""

    frames: bool = Field(
        True, description="Show the last picture of each source, as the encoder gets it; it is never stored."
    )


class EngineConfig(_Section):
    """How the work is spread; the defaults fit one machine, and the rows do not depend on it."""

    decoders: Count | None = Field(
        None,
        description="Decode workers per shard. Default: one a core, at most one a source, and more where cores are "
        "found idle in the first seconds because sources are slow to come.",
    )
    sources_in_flight: Count | None = Field(
        None, description="Sources a shard works on at once. Default: two a decoder."
    )
    chunk_segments: Count = Field(8, description="Segments a decode worker hands over at once; the first are fewer.")
    chunks_in_flight: Count | None = Field(
        None,
        description="Chunks of one source that may be under way: what bounds memory. Default: 3, up to 6 where "
        "readers are found to wait for them.",
    )
    batch_segments: Count | None = Field(
        None,
        description="Segments, of any sources, that an encoder is given at once. Default: 16, more where that is found "
        "to cost less a segment; those of one source where the built-in encoders run on a CPU.",
    )
    max_attempts: Count = Field(
        3, description="How often in a row a worker may die on a source before it is quarantined."
    )
    hang_seconds: Positive = Field(
        120.0, description="A worker that does not answer for so long has hung, and is replaced."
    )


class RayConfig(_Section):
    """How the work is spread over a Ray cluster; used with --ray only."""

    shards: Count | None = Field(None, description="Shards. Default: one a GPU, without GPUs one a node.")
    gpus_per_shard: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="GPUs a shard's encoders share. Default: 1 where the cluster has GPUs, else 0."
    )
    encoders: Literal["auto", "actors", "threads"] = Field(
        "auto",
        description="Decoders and encoders as actors of their own or as threads of the shard; auto: actors with GPUs.",
    )
    start_timeout_seconds: Positive = Field(120.0, description="How long to wait for the cluster to place the workers.")


class Config(_Section):
    """Everything that can be set. Every key has a default; a file or --set names only what differs."""

    labels: dict[str, Label] | None = Field(
        None,
        description="What to look and listen for: a list of words; or a mapping from each to phrases, not, threshold "
        "and bias, such as {applause: {phrases: [people clapping], not: [rain], threshold: 0.3}}; or a file (.yaml, "
        ".json) with that and distractors; [] for nothing. Default: a general list.",
    )
    distractors: Phrases = Field(
        (), description="What is there as well and competes with the labels for the score, but is never reported."
    )
    model: str | None = Field(
        None, description="Directory of a trained model, whose labels, encoders and segments are used. Default: none."
    )
    sinks: tuple[SinkConfig, ...] = Field(
        (),
        description="Where rows, events and what was given up are delivered as well: addresses, or mappings with to, "
        "name, kinds and options of each kind of sink.",
    )
    alerts: tuple[AlertConfig, ...] = Field(
        (),
        description="When somebody is told of an event, and how: mappings with labels, score, duration_seconds, "
        "cooldown_seconds, hours, weekdays, time_zone, sources, max_age_seconds, and to or command.",
    )
    sources: SourcesConfig = SourcesConfig()
    segment: SegmentConfig = SegmentConfig()
    decode: DecodeConfig = DecodeConfig()
    network: NetworkConfig = NetworkConfig()
    live: LiveConfig = LiveConfig()
    encoders: EncodersConfig = EncodersConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    speech: SpeechConfig = SpeechConfig()
    fusion: FusionConfig = FusionConfig()
    events: EventsConfig = EventsConfig()
    training: TrainingConfig = TrainingConfig()
    output: OutputConfig = OutputConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    retention: RetentionConfig = RetentionConfig()
    watch: WatchConfig = WatchConfig()
    engine: EngineConfig = EngineConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _labels_of_one(self) -> Self:
        if self.model is not None and (self.labels is not None or self.distractors):
            raise ValueError("a trained model has its own labels: leave labels out")
        names = {name.casefold() for name in self.labels or ()}
        if both := [word for word in self.distractors if word.casefold() in names]:
            raise ValueError(f"distractors: {both[0]!r} is one of the labels")
        return self

    @field_validator("sinks", mode="before")
    @classmethod
    def _addresses(cls, sinks: Any) -> Any:
        if isinstance(sinks, str):
            sinks = [sinks]
        return [{"to": s} if isinstance(s, str) else s for s in sinks] if isinstance(sinks, list | tuple) else sinks

    @field_validator("labels", mode="before")
    @classmethod
    def _named(cls, labels: Any) -> Any:
        return plain_labels(labels)

    @field_serializer("labels")
    def _listed(self, labels: dict[str, Label] | None) -> Any:
        return listed_labels(labels)

    @model_validator(mode="after")
    def _alerts_are_of_events(self) -> Self:
        if self.alerts and not self.events.enabled:
            raise ValueError("alerts are of events, and events.enabled is false")
        return self

    @model_validator(mode="after")
    def _speech_is_read(self) -> Self:
        if self.speech.recogniser is not None and not self.fusion.weights["text"]:
            raise ValueError("speech.recogniser is for text, whose weight in fusion.weights is 0")
        return self

    @model_validator(mode="after")
    def _output_is_private(self) -> Self:
        keeps = self.privacy.keeps
        if self.output.text and not self.privacy.keeps_media:
            raise ValueError(f"output.text writes what is said, and privacy.keeps is {keeps}: leave one of them out")
        if self.output.embeddings and keeps == "scores":
            raise ValueError("output.embeddings keeps embeddings, and privacy.keeps is scores: leave one of them out")
        return self

    @model_validator(mode="after")
    def _size_is_of_files(self) -> Self:
        if self.retention.max_size_mb is not None and self.output.journal is not None:
            raise ValueError("retention.max_size_mb is for a journal in the run directory, and output.journal is not")
        return self

    def to_yaml(self) -> str:
        """The resolved configuration, which `load` reads back to an equal value."""
        return yaml.safe_dump(_plain(self), sort_keys=False, allow_unicode=True)


def explained(section: BaseModel, indent: str = "") -> str:
    """A configuration as YAML with a comment above every key that says what it means."""
    lines = []
    values = _plain(section)
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines.append(f"\n{indent}# {type(value).__doc__}\n{indent}{name}:\n{explained(value, indent + '  ')}")
        else:
            plain = yaml.safe_dump(values[name], default_flow_style=True, width=1000).removesuffix("...\n").strip()
            lines.append(f"{indent}# {info.description}\n{indent}{name}: {plain}\n")
    return "".join(lines)


def _plain(section: BaseModel) -> dict[str, Any]:
    """Plain types; of what may be there many times, only what is set."""
    plain = section.model_dump(mode="json")
    for name, value in plain.items():
        if isinstance(value, list):
            plain[name] = [
                {k: v for k, v in one.items() if v not in (None, [])} if isinstance(one, dict) else one for one in value
            ]
    return plain


def _parts(value: Any) -> Any:
    """A list, also where it is written with commas."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def seconds(value: float) -> Fraction:
    """A setting as the decimal number that was typed: 0.1 s is a tenth, not the nearest binary fraction."""
    return Fraction(str(value))


def load(path: Path | None = None, settings: Iterable[str] = (), **overrides: Any) -> Config:
    """Reads a configuration file, applies ``a.b=c`` settings (values in YAML) and then keyword overrides.

    Raises:
        ConfigError: a file that cannot be read, a key that does not exist (with the nearest that does), a bad value.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _read(path)
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise ConfigError(f"a setting has the form key=value, such as segment.length_seconds=4, got {setting!r}")
        _put(values, key.strip().split("."), _parse(text, setting), setting)
    values.update({key: value for key, value in overrides.items() if value is not None})
    if isinstance(labels := values.get("labels"), str) and labels.strip().endswith(LABELS_FILE_SUFFIXES):
        values |= _labels_file(Path(labels.strip()))
    if isinstance(model := values.get("model"), str):
        folder = Path(model).resolve()
        base = _with_encoders_of(folder, _read(folder / MODEL_SETTINGS_FILE))
        if foreign := sorted(set(base) - _SETTINGS_OF_A_MODEL):
            raise ConfigError(f"{folder / MODEL_SETTINGS_FILE}: a model must not set {foreign[0]}")
        values = _merged(base, values) | {"model": str(folder)}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _labels_file(path: Path) -> dict[str, Any]:
    """The labels and distractors in a file, which is a configuration with no other keys; or labels alone, in a list."""
    found = _parsed(path, "labels")
    if isinstance(found, list):
        return {"labels": found}
    if not isinstance(found, dict) or found.get("labels") is None or isinstance(found["labels"], str):
        raise ConfigError(f"{path} must hold a list of labels, or labels: with a list or a mapping below it")
    if unknown := [key for key in found if key not in ("labels", "distractors")]:
        raise ConfigError(f"{path}: unknown key {unknown[0]}; there may be labels and distractors")
    return found


def _with_encoders_of(model: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a model, in which encoders that lie beside it are named by their whole path."""
    encoders = settings.get("encoders")
    if not isinstance(encoders, dict):
        return settings
    found = {}
    for modality, name in encoders.items():
        family, _, file = str(name).partition(":")
        is_beside = file == f"{modality}.safetensors" and (model / file).is_file()
        found[modality] = f"{family}:{model / file}" if is_beside else name
    return settings | {"encoders": found}


def _merged(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The base, but what the values say."""
    merged = dict(base)
    for key, value in values.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merged(below, value) if both and below is not None else value
    return merged


def _parsed(path: Path, what: str) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"the {what} {path} is not YAML: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    values = _parsed(path, "configuration")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration {path} must be a mapping of keys, got {type(values).__name__}")
    return values


def _parse(text: str, setting: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value in {setting!r} is not YAML") from error


def _put(values: dict[str, Any], keys: list[str], value: Any, setting: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{setting!r}: {key} is a value, it has no keys of its own")
    values[keys[-1]] = value


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "configuration"
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {where}{_nearest(where)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message[:1].lower() + message[1:]}, got {problem['input']!r}")
    return "\n".join(lines)


def _nearest(key: str) -> str:
    if key.startswith("labels."):
        return f"; a label has {', '.join(info.alias or name for name, info in Label.model_fields.items())}"
    close = difflib.get_close_matches(key, list(keys(Config)), n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else ""


def keys(section: type[BaseModel], prefix: str = "") -> Mapping[str, str]:
    """Every key with its description, in order; sections are gone into."""
    found: dict[str, str] = {}
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= keys(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = info.description or ""
    return found
