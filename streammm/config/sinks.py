"""Settings of one sink: where rows, events and what was given up are delivered, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streammm.config.section import Count, Positive, Section


class SinkConfig(Section):
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
