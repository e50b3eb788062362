"""How much memory pictures and sound may take on their way from a shard's decoders to its encoders.

A chunk of segments counts from the moment its decoder is asked for it until its rows are committed. Each source has at
most so many chunks under way, so the sum is known before a run.
"""

from __future__ import annotations

import math

from streammm.media.options import DecodeOptions
from streammm.types import SAMPLE_RATE_HZ


def segment_bytes(options: DecodeOptions) -> int:
    """The largest payload of a segment: its pictures, uint8 RGB as the encoder wants them, and its float32 sound, with
    that around it once more where speech is recognised."""
    length = options.windows.length_seconds if options.max_shot_seconds is None else options.max_shot_seconds
    num_frames = math.ceil(length * options.windows.frames_per_second)
    sound = length
    if options.speech is not None:
        sound += options.speech.before_seconds + length + options.speech.after_seconds
    return num_frames * 3 * options.crop**2 + 4 * math.ceil(sound * SAMPLE_RATE_HZ)


def payload_bound_bytes(
    sources_in_flight: int, chunks_in_flight: int, chunk_segments: int, bytes_per_segment: int
) -> int:
    """The most bytes of decoded pictures and sound that one shard and its decoders hold at a time.

    It is S * (W + 1) * K * B: of each of S sources W chunks of K segments of B bytes are under way, and one more is
    held by whoever last handed it over. On Ray this is what lies in the object store of the shard's node, where what is
    no longer needed is freed within a second: what is decoded in that second comes on top.

    Not in it: fixed parts (the interpreter, the models, Ray's own processes); what an encoder makes of the two batches
    that it has; the decoding processes, one a source, each bounded by ``decode.memory_mb``; rows, which are kilobytes.
    """
    return sources_in_flight * (chunks_in_flight + 1) * chunk_segments * bytes_per_segment
