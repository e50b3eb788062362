"""Settings of media: which sources are taken, and how they are opened, decoded, followed and cut."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from streammm.config.section import Count, Positive, Section
from streammm.types import Modality


class SourcesConfig(Section):
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


class SegmentConfig(Section):
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


class DecodeConfig(Section):
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


class NetworkConfig(Section):
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


class LiveConfig(Section):
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
