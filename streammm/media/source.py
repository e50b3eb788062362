"""Files: the one safe way to open them, and the captions that lie beside them."""

from __future__ import annotations

import functools
import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from streammm.errors import SourceError
from streammm.media.address import refuse_chain

_START_BYTES = 16

SIDECAR_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")

_NESTING_FORMATS = {
    "applehttp",
    "hls",
    "concat",
    "concatf",
    "dash",
    "sdp",
    "rtsp",
    "rtp",
    "imf",
    "bluray",
    "lavfi",
    "image2",
    "vobsub",
}
"""Formats that open further files or addresses named inside them; none of them is read from an untrusted file."""


def sidecars(source: str) -> list[str]:
    """Caption files of a file: ``talk.srt`` or ``talk.en.vtt`` beside ``talk.mp4``, the plain name first."""
    path = Path(source)
    try:
        beside = os.listdir(path.parent)
    except OSError:
        return []
    return [str(path.parent / name) for name in captions_of(path.name, beside)]


def captions_of(name: str, beside: Iterable[str]) -> list[str]:
    """Those of the names beside a file that are its captions."""
    stem = Path(name).stem
    found = [
        Path(other)
        for other in beside
        if other.startswith(stem + ".") and Path(other).suffix.lower() in SIDECAR_SUFFIXES and other != name
    ]
    found = [other for other in found if other.stem.removeprefix(stem).count(".") <= 1]
    found.sort(key=lambda other: (len(other.stem), SIDECAR_SUFFIXES.index(other.suffix.lower()), other))
    return [str(other) for other in found]


def open_media(source: str, max_pixels: int, hardware: str | None = None) -> InputContainer:
    """Opens an untrusted local file for demuxing.

    Only this file is ever opened: playlists and other formats that point elsewhere are refused. Pictures of more than
    ``max_pixels`` are refused by the decoder before it allocates them. ``hardware`` names a device that decodes, such
    as ``cuda``; where there is none, the processor does.

    Raises:
        SourceError: the file is missing, empty, not media, or of a refused kind.
    """
    path = Path(source)
    refuse_chain(source)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise SourceError(source, "missing", "no such file or directory") from None
    except (OSError, ValueError) as error:
        raise SourceError(source, "unreadable", reason(error)) from error
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(source, "unreadable", "not a regular file")
    if found.st_size == 0:
        raise SourceError(source, "empty", "the file has zero bytes")
    options = {"format_whitelist": allowed_formats(), "protocol_whitelist": "file", "max_pixels": str(max_pixels)}
    try:
        return _open(f"file:{path}", options, hardware)
    except PermissionError as error:
        raise SourceError(source, "unreadable", "no permission to read the file") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        with path.open("rb") as file:
            raise _unreadable(source, file.read(_START_BYTES), error) from error


def open_media_file(file: io.RawIOBase, source: str, max_pixels: int, hardware: str | None = None) -> InputContainer:
    """Opens an untrusted file object, under the same rules as `open_media`; the object stays the caller's.

    Raises:
        SourceError: the file is not media, or of a refused kind; or what reading the object raises.
    """

    def refuse(url: str, flags: int, options: dict[str, str]) -> IO[bytes]:
        raise SourceError(source, "refused", "something in it would open a further file; only plain media is read")

    options = {"format_whitelist": allowed_formats(), "max_pixels": str(max_pixels)}
    try:
        return _open(file, options, hardware, refuse)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        file.seek(0)
        raise _unreadable(source, file.read(_START_BYTES) or b"", error) from error


def _open(file: Any, options: dict[str, str], hardware: str | None, io_open: Any = None) -> InputContainer:
    """Opens with a hardware decoder where there is one; a driver that is listed may still be missing."""
    open_it = functools.partial(av.open, file, options=options, metadata_errors="replace", io_open=io_open)
    container: InputContainer
    if hardware is not None:
        try:
            container = open_it(hwaccel=HWAccel(hardware, allow_software_fallback=True))
            return container
        except (av.error.FFmpegError, RuntimeError, ValueError, NotImplementedError):
            if not isinstance(file, str):  # the processor decodes as well, only slower
                file.seek(0)
    container = open_it()
    return container


def _unreadable(source: str, start: bytes, error: Exception) -> SourceError:
    if start.lstrip(b"\xef\xbb\xbf").startswith((b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"<MPD")):
        detail = "a playlist, which would open further files; only plain media files are read"
        return SourceError(source, "refused", detail)
    return SourceError(source, "not-media", f"cannot be opened as media: {reason(error)}")


def reason(error: BaseException) -> str:
    """What FFmpeg said, without the error number and the file name."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


@functools.cache
def allowed_formats() -> str:
    """Every format that opens nothing but itself, as FFmpeg takes it."""
    return ",".join(sorted(av.formats_available - _NESTING_FORMATS))
