"""Every error that streammm raises on purpose; a user sees its text, never a traceback."""

from __future__ import annotations


class StreammmError(Exception):
    """Base of all errors below: catching it catches every mistake that is not a bug of ours."""


class ConfigError(StreammmError):
    """A configuration, a command line or a set of installed packages cannot work as asked."""


class SourceError(StreammmError):
    """A source cannot be read at all.

    Args:
        source: the source as the user named it.
        reason: one of a few short codes, such as ``unreadable`` or ``no-media``; counted and grouped by.
        detail: what happened, in words.
    """

    def __init__(self, source: str, reason: str, detail: str) -> None:
        super().__init__(source, reason, detail)
        self.source = source
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.source}: {self.detail}"


class DecodeError(SourceError):
    """A source opened, but nothing of it could be decoded."""


class EncodeError(StreammmError):
    """An encoder failed on a batch."""
