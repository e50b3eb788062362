"""Files: the one safe way to open them, and the captions that lie beside them."""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from streammm.errors import SourceError

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


def sidecars(source: str) -> list[Path]:
    """Caption files of a source: ``talk.srt`` or ``talk.en.vtt`` beside ``talk.mp4``, the plain name first."""
    path = Path(source)
    try:
        beside = os.listdir(path.parent)
    except OSError:
        return []
    found = [
        Path(name)
        for name in beside
        if name.startswith(path.stem + ".") and Path(name).suffix.lower() in SIDECAR_SUFFIXES and name != path.name
    ]
    found = [name for name in found if name.stem.removeprefix(path.stem).count(".") <= 1]
    found.sort(key=lambda name: (len(name.stem), SIDECAR_SUFFIXES.index(name.suffix.lower()), name))
    return [path.parent / name for name in found]


def open_media(source: str, max_pixels: int, hardware: str | None = None) -> InputContainer:
    """Opens an untrusted local file for demuxing.

    Only this file is ever opened: playlists and other formats that point elsewhere are refused. Pictures of more than
    ``max_pixels`` are refused by the decoder before it allocates them. ``hardware`` names a device that decodes, such
    as ``cuda``; where there is none, the processor does.

    Raises:
        SourceError: the file is missing, empty, not media, or of a refused kind.
    """
    path = Path(source)
    if "://" in source:
        raise SourceError(source, "unsupported", "only local files can be read so far, this is an address")
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
        if _is_playlist(path):
            detail = "a playlist, which would open further files; only plain media files are read"
            raise SourceError(source, "refused", detail) from error
        raise SourceError(source, "not-media", f"cannot be opened as media: {reason(error)}") from error


def _open(name: str, options: dict[str, str], hardware: str | None) -> InputContainer:
    """Opens with a hardware decoder where there is one; a driver that is listed may still be missing."""
    if hardware is not None:
        try:
            accelerator = HWAccel(hardware, allow_software_fallback=True)
            return av.open(name, options=options, metadata_errors="replace", hwaccel=accelerator)
        except (av.error.FFmpegError, RuntimeError, ValueError, NotImplementedError):
            pass  # the processor decodes as well, only slower
    return av.open(name, options=options, metadata_errors="replace")


def _is_playlist(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16).lstrip(b"\xef\xbb\xbf").startswith((b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"<MPD"))


def reason(error: BaseException) -> str:
    """What FFmpeg said, without the error number and the file name."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


@functools.cache
def allowed_formats() -> str:
    """Every format that opens nothing but itself, as FFmpeg takes it."""
    return ",".join(sorted(av.formats_available - _NESTING_FORMATS))
