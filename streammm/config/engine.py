"""Settings of the engine: how the work is spread over one machine, and over a Ray cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streammm.config.section import Count, Positive, Section


class EngineConfig(Section):
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


class RayConfig(Section):
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
