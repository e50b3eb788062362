"""Files in stores: read like files on disk, in parts; S3 and FTP servers on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

from streammm.errors import ConfigError, SourceError
from streammm.media import look
from streammm.media.filter import SourceFilter
from streammm.media.isolated import IsolatedReader
from streammm.media.listing import list_sources
from streammm.media.network import NetworkOptions
from streammm.media.options import DecodeOptions, Limits
from streammm.media.process import ProcessPool
from streammm.media.read import open_reader
from streammm.media.store_file import StoreFile
from streammm.types import Segment
from tests.conftest import MakeClip
from tests.stores import DENIED, Bucket, Request, stalled

OPTIONS = DecodeOptions()
QUICK = replace(OPTIONS, network=NetworkOptions(read_seconds=2.0))


POOL = ProcessPool(Limits())


@pytest.fixture(autouse=True, scope="module")
def _close() -> Iterator[None]:
    yield
    POOL.close()


def read(source: str, first: int = 0, options: DecodeOptions = OPTIONS) -> list[Segment]:
    with open_reader(source, options, first, POOL) as reader:
        return list(reader)


def large(clip: MakeClip, seconds: float) -> Path:
    """A film of 88 kB a second, with its index at the end and with sound that may be decoded from anywhere."""
    return clip("big.mov", seconds, rate=1, audio="pcm_s16le")


def read_on(reader: IsolatedReader) -> None:
    is_last = False
    while not is_last:
        _, is_last = reader.read(1)


def assert_same(stored: list[Segment], local: list[Segment]) -> None:
    assert [s.index for s in stored] == [s.index for s in local]
    for a, b in zip(stored, local, strict=True):
        assert np.array_equal(a.frames, b.frames)
        assert np.array_equal(a.waveform, b.waveform)
        assert (a.cues, a.status, a.num_errors, a.end_seconds) == (b.cues, b.status, b.num_errors, b.end_seconds)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mp3", "a.h264"])
def test_segments_are_those_of_the_file_on_disk(bucket: Bucket, clip: MakeClip, name: str) -> None:
    only = {"video": None, "audio": "libmp3lame"} if name == "a.mp3" else {"audio": None} if name == "a.h264" else {}
    path = clip(name, 5.0, clicks=[1.0], **only)
    source = bucket.put(f"deep/{name}", path)
    assert_same(read(source), read(str(path)))
    assert_same(read(source, first=1), read(str(path), first=1))


def test_captions_beside_it_are_used(bucket: Bucket, clip: MakeClip, tmp_path: Path) -> None:
    path = clip("talk.mp4", 4.0)
    caption = b"1\n00:00:00,500 --> 00:00:01,500\nhello\n"
    for beside in ("talk.en.srt", "talk.srt", "talkative.srt"):
        bucket.put(f"day/{beside}", caption.replace(b"hello", beside.encode()))
    source = bucket.put("day/talk.mp4", path)
    (tmp_path / "talk.srt").write_bytes(caption.replace(b"hello", b"talk.srt"))
    segments = read(source)
    assert_same(segments, read(str(path)))
    assert [cue.text for cue in segments[0].cues] == ["talk.srt"]
    assert look.probe(source, OPTIONS).captions_beside == ("talk.srt", "talk.en.srt")


def test_of_a_large_file_only_what_is_needed_is_read(bucket: Bucket, clip: MakeClip) -> None:
    path = large(clip, 480.0)
    size = path.stat().st_size
    assert size > 40 * 2**20
    source = bucket.put("big.mov", path)
    assert_same(read(source, first=235), read(str(path), first=235))
    parts = bucket.asked("GET", "big.mov")
    assert len(parts) <= 4
    assert sum(part.num_bytes for part in parts) <= 4 * 4 * 2**20 < size / 2
    with open_reader(source, OPTIONS, pool=POOL):
        pass
    assert len(bucket.asked("GET", "big.mov")) - len(parts) <= 3


def test_no_environment_gets_into_a_name(bucket: Bucket, clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hush")
    source = bucket.put("${SECRET} é+%20?token=1#[x].mp4", clip("a.mp4", 2.0))
    assert list(list_sources([f"{bucket.url}/"])) == [source]
    with open_reader(source, OPTIONS) as reader:
        assert [s.source for s in reader] == [source]
    assert not any("hush" in f"{r.path}{r.query}" for r in bucket.server.requests)


@pytest.mark.parametrize(
    ("key", "content", "reason", "words"),
    [
        ("none.mp4", None, "missing", "nothing of that name"),
        ("empty.mp4", b"", "empty", "zero bytes"),
        ("a.mp4", b"nothing" * 99, "not-media", "cannot be opened as media: invalid data"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n", "refused", "a playlist"),
        ("films", None, "unreadable", "with / at its end it is searched"),
        ("denied.mp4", b"x", "unauthorised", "does not allow it"),
    ],
)
def test_what_cannot_be_read_is_said(bucket: Bucket, key: str, content: bytes | None, reason: str, words: str) -> None:
    bucket.put("films/a.txt", b"x")
    if content is not None:
        bucket.put(key, content)
    bucket.server.gate = lambda request: (403, DENIED) if "denied" in request.path else None
    with pytest.raises(SourceError, match=words) as error:
        read(f"{bucket.url}/{key}")
    assert (error.value.source, error.value.reason) == (f"{bucket.url}/{key}", reason)


def test_a_missing_bucket_and_a_missing_driver_are_said(bucket: Bucket) -> None:
    with pytest.raises(SourceError, match="nothing of that name") as error:
        read("s3://no-such-bucket/a.mp4")
    assert error.value.reason == "missing"
    with pytest.raises(SourceError, match=r'needs a driver that is not installed: .*"dropboxdrivefs"') as error:
        read("dropbox://films/a.mp4")
    assert error.value.reason == "unsupported"
    with pytest.raises(ConfigError, match=r'needs a driver that is not installed: .*"dropboxdrivefs"'):
        next(list_sources(["dropbox://films/a.mp4"]))


@pytest.mark.parametrize(
    "source", ["simplecache::s3://films/a.mp4", "s3://films/a.zip::zip://a.mp4", "zip://a.mp4::s3://films/a.zip"]
)
def test_what_opens_further_things_is_refused(bucket: Bucket, source: str) -> None:
    with pytest.raises(SourceError) as error:
        read(source)
    assert error.value.reason == "unsupported"
    assert not bucket.server.requests


def test_captions_are_not_looked_for_where_listing_is_not_allowed(bucket: Bucket, clip: MakeClip) -> None:
    source = bucket.put("a.mp4", clip("a.mp4", 2.0))
    bucket.server.gate = lambda request: (403, DENIED) if "list-type" in request.query else None
    with open_reader(source, OPTIONS, pool=POOL) as reader:
        assert len(list(reader)) == 1
        assert reader.num_errors == 1
        assert "captions beside it cannot be looked for" in reader.last_error
    assert "captions beside it cannot be looked for" in look.probe(source, OPTIONS).advice[-1]


def test_a_store_that_stalls_is_given_up_in_words(bucket: Bucket, clip: MakeClip) -> None:
    source = bucket.put("a.mp4", clip("a.mp4", 2.0))
    until = threading.Event()
    bucket.server.gate = stalled(until, "a.mp4")
    pings: list[float] = []
    try:
        with pytest.raises(SourceError, match="does not answer: nothing came for 2 s") as error:
            read(source, options=QUICK)
        with pytest.raises(SourceError, match="does not answer"):
            StoreFile(source, 3.0, on_wait=lambda: pings.append(time.monotonic())).read(1)
    finally:
        until.set()
    assert error.value.reason == "unreachable"
    assert len(pings) == 2


def test_a_store_that_stalls_in_the_middle_ends_the_source(bucket: Bucket, clip: MakeClip) -> None:
    source = bucket.put("big.mov", large(clip, 150.0))
    until = threading.Event()
    with open_reader(source, QUICK, pool=POOL) as reader:
        reader.read(1)
        bucket.server.gate = stalled(until, "big.mov")
        try:
            with pytest.raises(SourceError, match="does not answer"):
                read_on(reader)
        finally:
            until.set()


def test_a_pause_and_a_passing_fault_cost_nothing(bucket: Bucket, clip: MakeClip) -> None:
    path = clip("a.mp4", 4.0)
    source = bucket.put("a.mp4", path)
    num_faults = 0

    def gate(request: Request) -> tuple[int, bytes] | None:
        nonlocal num_faults
        if request.method == "GET" and "a.mp4" in request.path:
            num_faults += 1
            if num_faults == 1:
                return 503, b"<Error><Code>SlowDown</Code></Error>"
            time.sleep(1.0)
        return None

    bucket.server.gate = gate
    assert_same(read(source), read(str(path)))
    assert num_faults == 2


def test_a_file_that_changes_is_not_mixed(bucket: Bucket, clip: MakeClip) -> None:
    big = large(clip, 150.0)
    source = bucket.put("big.mov", big)
    with open_reader(source, QUICK, pool=POOL) as reader:
        reader.read(1)
        bucket.put("big.mov", big.read_bytes()[::-1])
        with pytest.raises(SourceError) as error:
            read_on(reader)
    assert error.value.reason == "unreachable"


def test_what_is_filtered_is_said_by_a_probe(bucket: Bucket, clip: MakeClip) -> None:
    source = bucket.put("a.mp4", clip("a.mp4", 4.0))
    options = replace(OPTIONS, filter=SourceFilter(min_seconds=10.0))
    with pytest.raises(SourceError, match=r"it has 4.0 s, less than sources.min_seconds, 10") as error:
        read(source, options=options)
    assert error.value.reason == "filtered"
    assert look.probe(source, options).advice[0].startswith("would be left out: it has 4.0 s")


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[str]:
    """A folder served over FTP, to who knows the password."""
    folder = tmp_path / "served"
    folder.mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_user("me", "p@ss", str(folder))

    class Handler(FTPHandler):
        pass

    Handler.authorizer = authorizer
    with ThreadedFTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.address[1]}"
        server.close_all()
        thread.join(10)


def test_other_stores_are_read_as_well(
    ftp: str, clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip("a.mp4", 4.0)
    deep = tmp_path / "served" / "day 1" / "deep"
    deep.mkdir(parents=True)
    for name in ("b.mp4", "a.mp4", "a.txt"):
        (deep / name).write_bytes(path.read_bytes())
    (deep.parent / "c.mkv").touch()
    (deep / "a.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nhello\n")
    monkeypatch.setenv("PASSWORD", "p@ss")
    root = f"ftp://me:${{PASSWORD}}@{ftp}"
    files = [f"{root}/day 1/c.mkv", f"{root}/day 1/deep/a.mp4", f"{root}/day 1/deep/b.mp4"]
    assert list(list_sources([f"{root}/"])) == files
    assert list(list_sources([f"{root}/day*/deep/*.mp4"])) == files[1:]
    with open_reader(files[1], OPTIONS) as reader:
        segments = list(reader)
    assert [cue.text for cue in segments[0].cues] == ["hello"]
    assert segments[0].source == files[1]
    assert_same([replace(s, cues=()) for s in segments[1:]], read(str(path))[1:])
    with pytest.raises(SourceError) as error:
        read(f"ftp://me:wrong@{ftp}/a.mp4")
    assert "wrong" not in str(error.value)
