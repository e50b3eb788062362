"""Addresses of what is not a file: their schemes, their secrets, and what of them may be shown. Text only, no I/O."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, urlsplit

from streammm.errors import SourceError

ALWAYS_LIVE = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt", "v4l2"})
"""Schemes of sources that go on without end. Whether http does is known only when it is open."""

STORES = frozenset(
    "abfs abfss az box dbfs dropbox ftp gcs gdrive gs hdfs hf lakefs oci oss root s3 s3a sftp smb ssh tos webdav "
    "webhdfs".split()
)
"""Schemes of file systems that fsspec has drivers for. Others that it knows are ours (http), local, or open further
things that an address names: those are refused, a list of sources must not lead anywhere but to sources."""

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_CAMERA = re.compile(r"^/dev/video\d+$")
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#\s'\"]*)@")
_SECRET = re.compile(
    r"([?&;][^=&?#\s]*(?:pass|pwd|token|key|sig|auth|secret|cred|session|policy)[^=&?#\s]*=)([^&#;\s'\"]+)",
    re.IGNORECASE,
)
_CHAIN = re.compile(r"::[A-Za-z0-9+.-]*://")
_PASSWORD = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://[^/@:]*:)([^/]*)@")
_PLACEHOLDERS_ONLY = re.compile(r"(?:\$\{\w+\}|:)+")
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def is_address(source: str) -> bool:
    """True for ``scheme://...``, for ``-`` (standard input) and for a camera, ``/dev/video0``; all else is a path."""
    return source == "-" or bool(_SCHEME.match(source) or _CAMERA.match(source))


def in_store(source: str) -> bool:
    """True for the address of what lies in a store, such as ``s3://bucket/talk.mp4``."""
    return scheme(source) in STORES


def refuse_chain(source: str) -> None:
    """Refuses one file system over another, as ``simplecache::s3://bucket/x.mp4`` would be to fsspec.

    Raises:
        SourceError: it is one.
    """
    if _CHAIN.search(source):
        detail = "a chain of file systems, which opens further things; give the address of the file itself"
        raise SourceError(public_name(source), "unsupported", detail)


def is_file(source: str) -> bool:
    """True for a path and for what lies in a store: it ends, and may be read from any place, also a second time."""
    return not is_address(source) or in_store(source)


def may_go_on(source: str) -> bool:
    """True for a source that is likely to have no end: an address that is always live, a playlist, standard input."""
    if is_file(source):
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

    Placeholders such as ``${CAMERA_PASSWORD}`` are no secrets and stay. Of what lies in a store only a password is
    hidden: all else names it, and two files must not get the same name. Bytes of a file's name that are no text are
    written as escapes, so that the name can be stored anywhere.
    """
    if in_store(source):
        shown = _PASSWORD.sub(_hidden_user, source)
    else:
        shown = redact(source) if is_address(source) else source
    return shown.encode(errors="backslashreplace").decode()


def redact(text: str) -> str:
    """A text without the secrets of the addresses in it."""
    text = _USER_INFO.sub(_hidden_user, text)
    return _SECRET.sub(lambda m: m[0] if _PLACEHOLDERS_ONLY.fullmatch(m[2]) else f"{m[1]}***", text)


def _hidden_user(found: re.Match[str]) -> str:
    return found[0] if _PLACEHOLDERS_ONLY.fullmatch(found[2]) else f"{found[1]}***@"


def expand_secrets(source: str) -> str:
    """Puts the values of environment variables in place of ``${NAME}``, percent-encoded where they stand in a URL.

    Not in the path of what lies in a store: it may be listed, and whoever names a file must not get at the environment.

    Raises:
        SourceError: a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in os.environ:
            detail = f"the environment variable {name}, which its address names, is not set"
            raise SourceError(public_name(source), "bad-address", detail)
        return quote(os.environ[name], safe="")

    if not is_address(source):
        return source
    path = source.find("/", source.index("://") + 3) if in_store(source) else -1
    head, rest = (source, "") if path < 0 else (source[:path], source[path:])
    return _PLACEHOLDER.sub(value, head) + rest
