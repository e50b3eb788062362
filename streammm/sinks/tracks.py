"""What was found as a track a source: subtitles (WebVTT, SRT) that play over it, or markers for editors (EDL).

A file a source, which grows. Neighbouring segments in which the same was found are one entry of it. Nothing has to be
remembered of it: a file is read back when its source comes again, and what it has from a row's start on is taken back,
so that a row that is told twice is in it once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streammm.journal import Entry
from streammm.rows import row_from_json
from streammm.sinks.base import Written, data_of
from streammm.sinks.lines import best_labels

_MAX_REMEMBERED = 1000
"""The ends of so many files are remembered; another one is read back."""


_MAX_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which the same was found; ``text`` is one line."""

    start_seconds: float
    end_seconds: float
    text: str


@dataclass(slots=True)
class _Tail:
    """The end of a file: its last span and at which byte that begins, and how many spans there are."""

    last: Span | None
    at: int
    count: int


class Track(ABC):
    """Writes a file for each source into a directory; all of an earlier run's files that come again are written over.

    Args:
        name: of its cursor.
        directory: where the files go, each named as its source.
    """

    suffix: str
    kinds: tuple[str, ...] = ("row",)
    batch_entries = 1000
    linger_seconds = 1.0
    _step_seconds = 0.001
    """The difference between times that a file can tell."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._directory = directory
        self._tails: OrderedDict[str, _Tail] = OrderedDict()

    def start(self, position: int, mark: Any, run: str) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._tails.clear()
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        by_source: dict[str, list[Span]] = {}
        for entry in entries:
            row = row_from_json(data_of(entry))
            text = f"({row.outage})" if row.outage else ", ".join(label for label, _ in best_labels(row))
            by_source.setdefault(entry.source, []).append(Span(row.start_seconds, row.end_seconds, _line(text)))
        refused: dict[int, str] = {}
        for source, spans in by_source.items():
            try:
                self._append(source, spans)
            except OSError as error:
                if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
                    raise  # else no file can have the name of this source
                refused |= {e.position: f"{error.strerror}" for e in entries if e.source == source}
        return Written(refused=refused)

    def close(self) -> None:
        self._tails.clear()

    @abstractmethod
    def _head(self, source: str) -> str:
        """What a file begins with."""

    @abstractmethod
    def _block(self, span: Span, number: int) -> str:
        """A span as the file holds it, with the newlines after it."""

    @abstractmethod
    def _parse(self, text: str, at: int) -> tuple[Span, int] | None:
        """The span that begins at a place in a file, and where the next begins; None if there is no whole one."""

    def _append(self, source: str, spans: Sequence[Span]) -> None:
        path = self._directory / file_name(source, self.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            tail = self._tails.pop(source, None)
            if tail is None or (tail.last is not None and spans[0].start_seconds < tail.last.start_seconds):
                tail = self._read_back(file.read().decode(errors="replace"), spans[0].start_seconds, source)
            joined = _joined(tail.last, spans, 0.75 * self._step_seconds)
            # In one write, over what was the last span: whoever is killed here leaves the old text or the new.
            texts = [self._block(span, tail.count + n).encode() for n, span in enumerate(joined, 1 - bool(tail.last))]
            head = self._head(source).encode() if tail.at == 0 else b""
            file.seek(tail.at)
            file.write(head + b"".join(texts))
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        if joined:
            before = sum(map(len, texts[:-1])) + len(head)
            tail = _Tail(joined[-1], tail.at + before, tail.count + len(joined) - bool(tail.last))
        self._tails[source] = tail
        if len(self._tails) > _MAX_REMEMBERED:
            self._tails.popitem(last=False)

    def _read_back(self, text: str, until_seconds: float, source: str) -> _Tail:
        """The end of what a file has before a time."""
        head = self._head(source)
        if not text.startswith(head):
            return _Tail(None, 0, 0)
        tail = _Tail(None, 0, 0)
        at, at_bytes = len(head), len(head.encode())
        while (found := self._parse(text, at)) and found[0].start_seconds < until_seconds - self._step_seconds / 2:
            tail = _Tail(found[0], at_bytes, tail.count + 1)
            at_bytes += len(text[at : found[1]].encode())
            at = found[1]
        return tail


def _joined(last: Span | None, spans: Sequence[Span], near_seconds: float) -> list[Span]:
    """The last span and those after it, neighbours of the same text as one, none of them over another."""
    made = [last] if last is not None else []
    for span in spans:
        if made and made[-1].end_seconds > span.start_seconds:
            made[-1] = replace(made[-1], end_seconds=span.start_seconds)
        if not span.text:
            continue
        if made and made[-1].text == span.text and abs(made[-1].end_seconds - span.start_seconds) < near_seconds:
            made[-1] = replace(made[-1], end_seconds=span.end_seconds)
        else:
            made.append(span)
    return made


def file_name(source: str, suffix: str) -> Path:
    """A path below the directory that names a source and no other, whatever is in the source's name."""
    path, _, _ = source.partition("?") if "://" in source else (source, "", "")
    parts = [re.sub(r"[^\w.@+=, -]", "_", part) for part in path.split("/") if part not in ("", ".", "..")]
    parts = [part.encode()[-_MAX_NAME_BYTES:].decode(errors="ignore") for part in parts]
    name = "/".join(parts)
    if name != source:
        name += "-" + hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:8]
    return Path(name + suffix)


def _line(text: str) -> str:
    return " ".join(text.split())


def _stamp(seconds: float, mark: str) -> str:
    rest, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}{mark}{milliseconds:03d}"


def _seconds(hours: str, minutes: str, rest: str, thousandths: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + int(rest) + int(thousandths) / 1000


class WebVtt(Track):
    """Subtitles for browsers and players."""

    suffix = ".vtt"
    _CUE = re.compile(r"(\d+):(\d\d):(\d\d)\.(\d{3}) --> (\d+):(\d\d):(\d\d)\.(\d{3})\n([^\n]*)\n\n")

    def _head(self, source: str) -> str:
        return "WEBVTT\n\n"

    def _block(self, span: Span, number: int) -> str:
        text = span.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"{_stamp(span.start_seconds, '.')} --> {_stamp(span.end_seconds, '.')}\n{text}\n\n"

    def _parse(self, text: str, at: int) -> tuple[Span, int] | None:
        if not (found := self._CUE.match(text, at)):
            return None
        words = found[9].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
        return Span(_seconds(*found.groups()[:4]), _seconds(*found.groups()[4:8]), words), found.end()


class Srt(Track):
    """Subtitles for players and editors. What SRT would take for markup is written with other brackets."""

    suffix = ".srt"
    _CUE = re.compile(r"\d+\n(\d+):(\d\d):(\d\d),(\d{3}) --> (\d+):(\d\d):(\d\d),(\d{3})\n([^\n]*)\n\n")

    def _head(self, source: str) -> str:
        return ""

    def _block(self, span: Span, number: int) -> str:
        text = span.text.translate(str.maketrans("<>{}", "()()"))
        return f"{number}\n{_stamp(span.start_seconds, ',')} --> {_stamp(span.end_seconds, ',')}\n{text}\n\n"

    def _parse(self, text: str, at: int) -> tuple[Span, int] | None:
        if not (found := self._CUE.match(text, at)):
            return None
        return Span(_seconds(*found.groups()[:4]), _seconds(*found.groups()[4:8]), found[9]), found.end()


class Edl(Track):
    """Markers for editors in the form of CMX 3600, with the notes by which Resolve (``|M:``) and Avid (``LOC``) go.

    Timecodes count whole frames and drop none. The timeline is taken to begin with ``timecode``.
    """

    suffix = ".edl"
    _EVENT = re.compile(r"\d+  AX +V +C +(\S+) (\S+) \S+ \S+\n \|C:\w+ \|M:([^\n]*) \|D:\d+\n\* LOC: [^\n]*\n\n")

    def __init__(
        self, name: str, directory: Path, frames_per_second: float = 25.0, timecode: str = "00:00:00:00"
    ) -> None:
        super().__init__(name, directory)
        self._rate = frames_per_second
        self._nominal = round(frames_per_second)
        self._step_seconds = 1.0 / frames_per_second
        self._offset = self._frame_of(timecode)

    def _head(self, source: str) -> str:
        return f"TITLE: {_line(source)}\nFCM: NON-DROP FRAME\n\n"

    def _block(self, span: Span, number: int) -> str:
        start = round(span.start_seconds * self._rate)
        end = max(start + 1, round(span.end_seconds * self._rate))
        first, last = self._timecode(start), self._timecode(end)
        text = span.text.replace("|", "/")
        return (
            f"{number:03d}  AX       V     C        {first} {last} {first} {last}\n"
            f" |C:ResolveColorBlue |M:{text} |D:{end - start}\n* LOC: {first} BLUE    {text}\n\n"
        )

    def _parse(self, text: str, at: int) -> tuple[Span, int] | None:
        if not (found := self._EVENT.match(text, at)):
            return None
        start, end = ((self._frame_of(code) - self._offset) / self._rate for code in (found[1], found[2]))
        return Span(start, end, found[3]), found.end()

    def _timecode(self, frame: int) -> str:
        seconds, frames = divmod(frame + self._offset, self._nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}:{frames:02d}"

    def _frame_of(self, timecode: str) -> int:
        hours, minutes, seconds, frames = map(int, timecode.split(":"))
        return (hours * 3600 + minutes * 60 + seconds) * self._nominal + frames
