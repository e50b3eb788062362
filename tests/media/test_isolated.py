"""Decoding in a process of its own: the same segments, and nothing that happens to it goes further."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from streammm.errors import SourceError
from streammm.media import process as processes
from streammm.media import wire
from streammm.media.isolated import IsolatedReader
from streammm.media.options import DecodeOptions, Limits
from streammm.media.process import ProcessPool
from streammm.media.read import open_reader
from streammm.media.reader import SegmentReader
from streammm.types import Segment, Status
from tests.conftest import MakeClip

PATIENT = DecodeOptions()
STRICT = replace(PATIENT, limits=Limits(memory_bytes=2**30, progress_seconds=3.0))

AT_SEGMENT_TWO = """
import ctypes, os, signal
from streammm.media import child
class Patched(child.SegmentReader):
    def __iter__(self):
        for segment in super().__iter__():
            if segment.index == 2{only}:
                {act}
            yield segment
child.SegmentReader = Patched
child.main()
"""


def same(one: Segment, other: Segment) -> bool:
    arrays = all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("frames", "frame_seconds", "waveform"))
    return arrays and (one.cues, one.status, one.coverage) == (other.cues, other.status, other.coverage)


def sabotage(monkeypatch: pytest.MonkeyPatch, act: str, once: Path | None = None) -> None:
    only = f" and not os.path.exists({str(once)!r})" if once else ""
    if once:
        act = f"os.mkdir({str(once)!r}); {act}"
    monkeypatch.setattr(processes, "_MAIN", AT_SEGMENT_TWO.format(act=act, only=only))


def test_a_process_of_its_own_gives_the_same_segments(clip: MakeClip) -> None:
    path = clip("a.mkv", 7.0, clicks=[1.0], cues=[(0.5, 2.5, "a dög"), (4.0, 5.0, "barks")])
    with SegmentReader(str(path), PATIENT) as reader:
        here = list(reader)
    with open_reader(str(path), PATIENT) as isolated:
        there = list(isolated)
    assert len(there) == len(here) == 4
    assert all(map(same, there, here))


@pytest.mark.parametrize("act", ["os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(3)"])
def test_a_crash_is_survived_and_counted(clip: MakeClip, monkeypatch, tmp_path: Path, act: str) -> None:
    path = clip("a.mp4", 9.0)
    with open_reader(str(path), PATIENT) as reader:
        whole = list(reader)
    sabotage(monkeypatch, act, once=tmp_path / "crashed")
    with open_reader(str(path), PATIENT) as reader:
        found = list(reader)
        assert reader.num_restarts == 1
    assert [s.index for s in found] == [0, 1, 2, 3, 4]
    assert all(map(same, found, whole))


def test_a_segment_that_always_crashes_costs_itself_only(clip: MakeClip, monkeypatch) -> None:
    path = clip("a.mp4", 9.0)
    with open_reader(str(path), PATIENT) as reader:
        whole = list(reader)
    sabotage(monkeypatch, "os.kill(os.getpid(), signal.SIGSEGV)")
    with open_reader(str(path), PATIENT) as reader:
        found = list(reader)
        assert "SIGSEGV" in reader.last_error
        assert reader.num_errors == 1
    assert [s.index for s in found] == [0, 1, 2, 3, 4]
    assert found[2].status["video"] == Status.DAMAGED
    assert all(same(found[n], whole[n]) for n in (0, 1, 3, 4))


def test_a_decoder_that_hangs_and_holds_the_interpreter_lock_is_ended(clip: MakeClip, monkeypatch) -> None:
    path = clip("a.mp4", 7.0)
    sabotage(monkeypatch, "ctypes.PyDLL(None).sleep(1000)")
    with open_reader(str(path), STRICT) as reader:
        found = list(reader)
        assert reader.num_restarts == 2
        assert "said nothing for 3 s" in reader.last_error
    assert [s.index for s in found] == [0, 1, 2, 3]
    assert found[2].status["video"] == Status.DAMAGED


def test_a_file_that_does_not_end_is_read_to_where_its_media_do(clip: MakeClip) -> None:
    path = clip("a.ts", 6.0)
    with path.open("ab") as file:
        file.truncate(200 * 2**30)  # zeros, which take no room on the disk and hours to look through
    with open_reader(str(path), STRICT) as reader:
        assert [s.index for s in reader] == [0, 1, 2]
        assert reader.num_errors > 0


def test_a_pipe_that_never_brings_anything_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match="not a regular file"):
        open_reader(str(tmp_path / "a.mp4"), STRICT)


@pytest.mark.parametrize("size", [9900])
def test_a_picture_that_takes_too_much_memory_is_an_error(tmp_path: Path, size: int) -> None:
    path = tmp_path / "bomb.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = size, size, "yuvj420p"
        for _ in range(2):
            out.mux(stream.encode(av.VideoFrame(size, size, "yuvj420p")))
        out.mux(stream.encode(None))
    small = replace(PATIENT, limits=Limits(memory_bytes=140 * 2**20))
    assert path.stat().st_size < 3 * 2**20
    with pytest.raises(SourceError) as caught, open_reader(str(path), small) as reader:
        list(reader)
    assert caught.value.reason in ("undecodable", "decoder-died", "too-much-memory")
    with open_reader(str(path), PATIENT) as reader:
        assert len(list(reader)) == 1


def test_the_process_may_not_write_files_and_dies_with_its_owner(clip: MakeClip) -> None:
    pool = ProcessPool(PATIENT.limits)
    reader = IsolatedReader(str(clip("a.mp4", 2.0)), PATIENT, 0, pool)
    process = psutil.Process(reader._process._process.pid)
    assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_DATA)[0] == PATIENT.limits.memory_bytes
    reader.close()
    assert process.is_running()  # it waits for the next source
    pool.close()
    assert not process.is_running()


def test_an_owner_that_is_killed_leaves_no_process_behind(clip: MakeClip) -> None:
    path = clip("a.mp4", 2.0)
    read_end, write_end = os.pipe()
    if (pid := os.fork()) == 0:
        reader = open_reader(str(path), PATIENT)
        os.write(write_end, str(reader._process._process.pid).encode())
        signal.pause()
    decoder = psutil.Process(int(os.read(read_end, 100)))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    decoder.wait(timeout=10)
    assert not decoder.is_running()


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x0bnot json at",
        b'\x00\x00\x00\x30{"arrays": [["float64", [99999999, 99999999]]]}  ',
        b'\x00\x00\x00\x22{"arrays": [["object", [1]]], "a": 1}'[:38],
    ],
)
def test_nonsense_from_a_process_is_refused_before_room_is_made_for_it(said: bytes) -> None:
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises((wire.ProtocolError, EOFError)):
            wire.receive(ours)


def test_many_sources_share_few_processes(clip: MakeClip) -> None:
    path = str(clip("a.mp4", 2.0))
    pool = ProcessPool(PATIENT.limits)
    pids = set()
    for _ in range(5):
        with open_reader(path, PATIENT, pool=pool) as reader:
            pids.add(reader._process._process.pid)
            assert len(list(reader)) == 1
    pool.close()
    assert len(pids) == 1


def test_a_source_that_is_closed_leaves_nothing_in_its_process(clip: MakeClip) -> None:
    """Readers are in cycles; with each that waits for the garbage collector its codecs' threads and memory stay."""
    path = clip("a.mp4", 3.0)
    pool = ProcessPool(PATIENT.limits)
    num_threads = []
    for _ in range(4):
        with open_reader(str(path), PATIENT, pool=pool) as reader:
            list(reader)
        process = pool.take()
        num_threads.append(psutil.Process(process._process.pid).num_threads())
        pool.give_back(process)
    pool.close()
    assert num_threads == [1, 1, 1, 1]
