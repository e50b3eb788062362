"""Workers, the journal, shards, nodes and the driver are killed in the middle of a run: the rows stay the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from streammm.config import Config, load
from streammm.journal import Entry
from streammm.types import Classification
from streammm_workers import engine
from streammm_workers.batch import Batcher
from streammm_workers.engine import Place
from streammm_workers.handle import ActorHandle
from streammm_workers.sizes import BatchSize
from tests.conftest import write_clip
from tests.workers.test_run import Recorder, assert_same

pytestmark = pytest.mark.ray

LABELS = "music,speech,rabbit,beep"
KINDS = ["DecodeWorker", "EncodeWorker", "Journal", "ShardActor"]
Rows = dict[tuple[str, int], Classification]


def config(*settings: str) -> Config:
    """Small chunks, so that there is a middle, and encoders in processes of their own."""
    return load(
        settings=[
            "engine.chunk_segments=1",
            "engine.chunks_in_flight=2",
            "ray.encoders=actors",
            "engine.decoders=1",
            "engine.sources_in_flight=3",
            "engine.hang_seconds=20",
            "engine.max_attempts=10",
            *settings,
        ],
        labels=LABELS,
    )


@pytest.fixture(scope="module")
def clips(shared_media: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Real clips, and made ones that are long enough to be killed in."""
    folder = tmp_path_factory.mktemp("clips")
    made = [
        write_clip(
            folder / f"made{n}.mp4", 24.0, size=(320, 240), clicks=[3.0 + n], grey=40 * (n + 1), cut_at=[7.0, 15.0 + n]
        )
        for n in range(3)
    ]
    real = [shared_media / "media" / "real" / name for name in ("bbb_5s_51.mp4", "rabbit320.webm", "hls_seg0.ts")]
    return [*map(str, real), *map(str, made)]


@pytest.fixture(scope="module")
def undisturbed(clips: list[str]) -> Rows:
    recorder = Recorder()
    engine.run(config(), clips, recorder)
    assert len(recorder.reports) == len(clips)
    return recorder.by_segment()


class Nodes:
    """A Ray cluster of a head that does no work and nodes of one CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.workers = [self.add(), self.add()]

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=200_000_000)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "1000")
    made = Nodes()
    yield made
    made.cluster.shutdown()
    assert_nobody_left()


def assert_nobody_left() -> None:
    deadline = time.monotonic() + 30
    while (left := [p for kind in KINDS for p in workers_of(kind, decoders=True)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def workers_of(kind: str, decoders: bool = False) -> Iterator[psutil.Process]:
    """Processes of this test's actors of a kind, or with ``decoders`` also those that decode."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            is_ours = process.username() == psutil.Process().username()
            if is_ours and (words.startswith(f"ray::{kind}") or (decoders and "streammm.media.child" in words)):
                yield process


class AfterRows(Recorder):
    """Does something in a thread after so many rows."""

    def __init__(self, num_rows: int, action: Callable[[], object], in_loop: bool = False) -> None:
        super().__init__()
        self._num_rows = num_rows
        self._action = action
        self._thread = threading.Thread(target=lambda: None if in_loop else action())
        self._in_loop = in_loop

    def entries(self, entries: Sequence[Entry]) -> None:
        super().entries(entries)
        if len(self.all) >= self._num_rows and self._thread.ident is None:
            self._thread.start()
            if self._in_loop:
                self._action()

    def join(self) -> None:
        assert self._thread.ident is not None, "the run was over before anything was killed"
        self._thread.join()


def place(folder: Path) -> Place:
    """A journal on disk."""
    return Place((f"sqlite:///{folder}/journal.sqlite",))


def send(kind: str, number: int, killed: list[str]) -> None:
    """Sends a signal to a process of a kind, if there is one."""
    processes = list(workers_of(kind))
    if processes:
        os.kill(processes[0].pid, number)
        killed.append(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_killing_a_worker_changes_nothing_in_the_rows(
    kind: str, nodes: Nodes, clips: list[str], undisturbed: Rows, tmp_path: Path
) -> None:
    killed: list[str] = []
    recorder = AfterRows(5, lambda: send(kind, signal.SIGKILL, killed))
    assert engine.run(config(), clips, recorder, nodes.cluster.address, place(tmp_path))
    recorder.join()
    assert killed == [kind]
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed)


@pytest.mark.parametrize("seed", [1])
def test_killing_at_random_changes_nothing_in_the_rows(
    seed: int, nodes: Nodes, clips: list[str], undisturbed: Rows, tmp_path: Path
) -> None:
    killed: list[str] = []
    draw = random.Random(seed)  # noqa: S311 - no secret

    def rage() -> None:
        for _ in range(4):
            send(draw.choice(KINDS), signal.SIGKILL, killed)
            time.sleep(draw.uniform(0.5, 3.0))

    recorder = AfterRows(4, rage)
    assert engine.run(config(), clips, recorder, nodes.cluster.address, place(tmp_path))
    recorder.join()
    assert killed
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed)


def test_a_node_that_goes_and_one_that_comes(nodes: Nodes, clips: list[str], undisturbed: Rows, tmp_path: Path) -> None:
    def exchange() -> None:
        nodes.cluster.remove_node(nodes.workers[0], allow_graceful=False)
        nodes.add()

    recorder = AfterRows(5, exchange, in_loop=True)
    assert engine.run(config(), clips, recorder, nodes.cluster.address, place(tmp_path))
    recorder.join()
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed)


def test_a_node_that_joins_gets_work(nodes: Nodes, tmp_path: Path) -> None:
    clips = [str(write_clip(tmp_path / f"{n}.mp4", 100.0, rate=4, grey=9 * n)) for n in range(12)]
    nodes.cluster.remove_node(nodes.workers[0])
    recorder = AfterRows(2, nodes.add, in_loop=True)  # Ray adds nodes in the main thread only
    few = config("engine.sources_in_flight=1")
    assert engine.run(few, clips, recorder, nodes.cluster.address, place(tmp_path))
    recorder.join()
    assert recorder.snapshot["num_shards"] == 2
    assert recorder.snapshot["stages"]["decode"]["num_workers"] == 2
    assert len(recorder.by_segment()) == 12 * 50
    alone = Recorder()
    engine.run(few, clips[-2:], alone)
    assert_same({key: row for key, row in recorder.by_segment().items() if key[0] in clips[-2:]}, alone.by_segment())


@pytest.mark.parametrize("kind", ["DecodeWorker", "EncodeWorker"])
def test_a_worker_that_hangs_is_replaced(
    kind: str, nodes: Nodes, clips: list[str], undisturbed: Rows, tmp_path: Path
) -> None:
    hung: list[str] = []
    quick = config("engine.hang_seconds=6", "decode.segment_seconds=1")
    recorder = AfterRows(5, lambda: send(kind, signal.SIGSTOP, hung))
    assert engine.run(quick, clips, recorder, nodes.cluster.address, place(tmp_path))
    recorder.join()
    assert hung == [kind]
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed)


class Poisoned:
    """An encode stage whose process ends, or hangs, on one segment."""

    def __init__(self, poison: int, hangs: bool) -> None:
        from tests.workers.fakes import FakeEncoder

        self.poison = poison
        self.hangs = hangs
        self.encoder = FakeEncoder()

    def load(self) -> None:
        """Nothing to load."""

    def encode(self, *chunks: list[Any]) -> list[Any]:
        from streammm.encoders.isolation import encode_isolated

        if any(segment.index == self.poison for chunk in chunks for segment in chunk):
            if self.hangs:
                time.sleep(3600)
            os._exit(1)
        return [encode_isolated(self.encoder, chunk) for chunk in chunks]

    def encode_one(self, chunk: list[Any], position: int) -> Any:
        return self.encode(chunk[position : position + 1])[0]

    def give_up(self, reason: str) -> Any:
        from streammm.encoders.isolation import failed

        return failed(self.encoder, reason)


@pytest.mark.parametrize("hangs", [False, True])
def test_a_segment_that_ends_its_encoder_is_isolated(nodes: Nodes, hangs: bool) -> None:
    import asyncio

    import ray

    from tests.workers.fakes import segment

    async def scenario() -> list[Any]:
        encoder = ActorHandle(ray.remote(Poisoned).options(num_cpus=0, max_restarts=-1).remote(5, hangs))
        await encoder.call("load")
        batcher = Batcher(encoder, BatchSize(16), limit_seconds=2.0)
        return await asyncio.gather(
            batcher.put("a", [segment(0), segment(1)], 2),
            batcher.put("b", [segment(4), segment(5), segment(6)], 3),
            batcher.put("c", [segment(9)], 1),
        )

    ray.init(address=nodes.cluster.address, log_to_driver=False)
    try:
        first, second, third = asyncio.run(scenario())
    finally:
        ray.shutdown()
    assert (first.failures, third.failures) == ({}, {})
    assert first.embeddings.vectors[:, 0].tolist() == [0, 1]
    assert second.embeddings.present.tolist() == [True, False, True]
    assert second.embeddings.vectors[:, 0].tolist() == [4, 0, 6]
    assert second.failures == {1: f"it {'hung' if hangs else 'ended'} the encoder 2 times"}


@pytest.mark.parametrize("how", [[], ["--ray"]])
def test_a_driver_that_is_killed_is_taken_up_again(
    how: list[str], clips: list[str], undisturbed: Rows, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = [sys.executable, "-c", "from streammm.cli import main; main()", "run", *clips, "--labels", LABELS]
    program += ["--out", str(out), "--set", "engine.chunk_segments=1", *how]
    results = out / "results.jsonl"
    for _ in range(2):
        num_before = results.read_bytes().count(b"\n") if results.exists() else 0
        with subprocess.Popen(program, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                if results.exists() and results.read_bytes().count(b"\n") > num_before + 3:
                    process.kill()
                time.sleep(0.05)
        assert process.returncode == -signal.SIGKILL
        with results.open("ab") as file:
            file.write(b'{"torn": ')  # what the journal does not know of is taken back
    assert_nobody_left()
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    recorder = Recorder()
    recorder.entries([Entry("", 0, "row", line) for line in results.read_text().splitlines()])
    assert_same(recorder.by_segment(), undisturbed)
    assert json.loads((results.read_text().splitlines())[0])["segment"] == 0
