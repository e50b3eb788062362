"""What travels between a decoding process and its owner: JSON with raw arrays behind it, over a socket.

A decoder that untrusted media has taken over must not take over its owner: nothing that comes from it is unpickled,
and every size is checked before room is made for it.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streammm.types import Cue, LiveState, Modality, Segment, Status

_LENGTH = struct.Struct("!I")
_MAX_HEADER_BYTES = 64 * 2**20
_MAX_ARRAY_BYTES = 4 * 2**30
_DTYPES = ("uint8", "float32", "float64")

Array = npt.NDArray[Any]


class ProtocolError(Exception):
    """The other side sent what it must not; it is not to be trusted any more."""


def send(to: socket.socket, message: Mapping[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Sends a message of plain JSON types and the arrays that belong to it."""
    described = [(array.dtype.name, array.shape) for array in arrays]
    header = json.dumps({**message, "arrays": described}).encode()
    to.sendall(_LENGTH.pack(len(header)) + header)
    for array in arrays:
        if array.size:
            to.sendall(_bytes_of(np.ascontiguousarray(array)))


def receive(source: socket.socket) -> tuple[dict[str, Any], list[Array]]:
    """Takes the next message; waits for it as long as the socket's time-out says.

    Raises:
        EOFError: the other side has gone.
        ProtocolError: what came makes no sense.
        TimeoutError: nothing came in time.
    """
    length = bytearray(_LENGTH.size)
    _fill(source, memoryview(length))
    (num_bytes,) = _LENGTH.unpack(length)
    if num_bytes > _MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {num_bytes} bytes")
    header = bytearray(num_bytes)
    _fill(source, memoryview(header))
    try:
        message = json.loads(header)
        arrays = [_empty(*described) for described in message.pop("arrays")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"a header that is not understood: {error}") from error
    for array in arrays:
        if array.size:
            _fill(source, _bytes_of(array))
    return message, arrays


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _empty(dtype: str, shape: Sequence[int]) -> Array:
    if dtype not in _DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"an array of {dtype} {shape}")
    if np.prod(shape, dtype=float) * np.dtype(dtype).itemsize > _MAX_ARRAY_BYTES:
        raise ValueError(f"an array of {shape}, which is too large")
    return np.empty(shape, dtype)


def _fill(source: socket.socket, view: memoryview) -> None:
    while view:
        count = source.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]


def from_segment(segment: Segment) -> tuple[dict[str, Any], list[Array]]:
    """A segment as what `send` takes."""
    plain = {
        f.name: getattr(segment, f.name)
        for f in dataclasses.fields(segment)
        if f.name not in ("frames", "frame_seconds", "waveform", "speech", "cues", "live")
    }
    plain["cues"] = [dataclasses.astuple(cue) for cue in segment.cues]
    plain["live"] = dataclasses.asdict(segment.live) if segment.live else None
    return plain, [segment.frames, segment.frame_seconds, segment.waveform, segment.speech]


def to_segment(plain: Mapping[str, Any], arrays: Sequence[Array]) -> Segment:
    """The segment that `from_segment` was given.

    Raises:
        ProtocolError: it is none.
    """
    try:
        frames, frame_seconds, waveform, speech = arrays
        status: dict[Modality, Status] = {m: Status(s) for m, s in plain["status"].items()}
        return Segment(
            **{
                **plain,
                "frames": frames,
                "frame_seconds": frame_seconds,
                "waveform": waveform,
                "speech": speech,
                "cues": tuple(Cue(*cue) for cue in plain["cues"]),
                "status": status,
                "live": LiveState(**plain["live"]) if plain["live"] else None,
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProtocolError(f"a segment that is none: {error}") from error
