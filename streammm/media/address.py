"""Addresses of what is not a file: their schemes, their secrets, and what of them may be shown. Text only, no I/O."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, urlsplit

from streammm.errors import SourceError

ALWAYS_LIVE = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt", "v4l2"})
"""Schemes of sources that go on without end. Whether http does is known only when it is open."""

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_CAMERA = re.compile(r"^/dev/video\d+$")
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#\s'\"]*)@")
_SECRET = re.compile(
    r"([?&;][^=&?#\s]*(?:pass|pwd|token|key|sig|auth|secret|cred|session|policy)[^=&?#\s]*=)([^&#;\s'\"]+)",
    re.IGNORECASE,
)
_PLACEHOLDERS_ONLY = re.compile(r"(?:\$\{\w+\}|:)+")
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def is_address(source: str) -> bool:
    """True for ``scheme://...``, for ``-`` (standard input) and for a camera, ``/dev/video0``; all else is a path."""
    return source == "-" or bool(_SCHEME.match(source) or _CAMERA.match(source))


def may_go_on(source: str) -> bool:
    """True for a source that is likely to have no end: an address that is always live, a playlist, standard input."""
    if not is_address(source):
        return False
    path = urlsplit(source).path.lower() if "://" in source else ""
    return scheme(source) in ALWAYS_LIVE or source == "-" or path.endswith((".m3u8", ".mpd"))


def scheme(source: str) -> str:
    """The scheme of an address in lower case; ``pipe`` for standard input, ``v4l2`` for a camera."""
    if source == "-":
        return "pipe"
    if _CAMERA.match(source):
        return "v4l2"
    found = _SCHEME.match(source)
    return found[1].lower() if found else ""


def public_name(source: str) -> str:
    """What of a source may be shown, logged and written: user, password and secret parameters become ``***``.

    Placeholders such as ``${CAMERA_PASSWORD}`` are no secrets and stay. Bytes of a file's name that are no text are
    written as escapes, so that the name can be stored anywhere.
    """
    shown = redact(source) if is_address(source) else source
    return shown.encode(errors="backslashreplace").decode()


def redact(text: str) -> str:
    """A text without the secrets of the addresses in it."""
    text = _USER_INFO.sub(lambda m: m[0] if _PLACEHOLDERS_ONLY.fullmatch(m[2]) else f"{m[1]}***@", text)
    return _SECRET.sub(lambda m: m[0] if _PLACEHOLDERS_ONLY.fullmatch(m[2]) else f"{m[1]}***", text)


def expand_secrets(source: str) -> str:
    """Puts the values of environment variables in place of ``${NAME}``, percent-encoded where they stand in a URL.

    Raises:
        SourceError: a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in os.environ:
            detail = f"the environment variable {name}, which its address names, is not set"
            raise SourceError(public_name(source), "bad-address", detail)
        return quote(os.environ[name], safe="")

    return _PLACEHOLDER.sub(value, source) if is_address(source) else source
