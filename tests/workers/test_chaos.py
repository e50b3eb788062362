"""Workers, the journal, shards, nodes and the driver are killed in the middle of a run: the rows stay the same."""

from __future__ import annotations

import functools
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
from streammm_workers import cluster, engine, shard
from streammm_workers.batch import Batcher
from streammm_workers.decode import DecodeWorker
from streammm_workers.encode import EncodeWorker
from streammm_workers.engine import Place
from streammm_workers.handle import ActorHandle
from streammm_workers.sizes import BatchSize
from tests.conftest import write_clip
from tests.workers import light
from tests.workers.exits import POINTS, ExitingDecoder, ExitingEncoder
from tests.workers.replacing import ExitingJournalActor, ExitingShard, Replacing
from tests.workers.test_run import Recorder, assert_same

pytestmark = pytest.mark.ray

LABELS = ",".join(light.LABELS)
PRECISION = "runtime.precision=fp32"
KINDS = ["DecodeWorker", "EncodeWorker", "JournalActor", "ShardActor"]
CHILD = "streammm.media.child"
OURS = "STREAMMM_CHAOS"
"""Marks the processes of this test run, so that no other's are killed or waited for."""

Rows = dict[tuple[str, int], Classification]


def config(*settings: str) -> Config:
    """Small chunks and batches, so that there is a middle, and encoders in processes of their own."""
    return load(
        settings=[
            PRECISION,
            "engine.chunk_segments=1",
            "engine.chunks_in_flight=2",
            "engine.batch_segments=2",
            "ray.encoders=actors",
            "engine.decoders=1",
            "engine.sources_in_flight=3",
            "engine.hang_seconds=20",
            "engine.max_attempts=10",
            *settings,
        ],
        labels=LABELS,
    )


@pytest.fixture(scope="module", autouse=True)
def marked() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OURS, str(os.getpid()))
        yield


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
    """The rows of the real encoders."""
    return rows_here(clips)


@pytest.fixture(scope="module")
def undisturbed_light(clips: list[str]) -> Rows:
    """The rows of encoders without a model."""
    return light_rows_here(clips)


def light_rows_here(clips: Sequence[str]) -> Rows:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard, "EncodeWorker", light.LightEncodeWorker)
        return rows_here(clips)


def rows_here(clips: Sequence[str]) -> Rows:
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
        self.workers: list[Any] = []
        self.restore()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        self.workers.append(self.cluster.add_node(num_cpus=1, object_store_memory=200_000_000))

    def remove(self) -> None:
        """Kills all processes of a node, by SIGKILL."""
        self.cluster.remove_node(self.workers.pop(0), allow_graceful=False)

    def restore(self) -> None:
        """Makes them two again."""
        while len(self.workers) > 2:
            self.remove()
        while len(self.workers) < 2:
            self.add()


@pytest.fixture(scope="module")
def cluster_of_two(marked: None) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_health_check_period_ms", "1000")
        made = Nodes()
        yield made
        made.cluster.shutdown()


@pytest.fixture
def nodes(cluster_of_two: Nodes) -> Iterator[Nodes]:
    """The cluster of all tests here, with its two nodes and nothing on them; nothing may be left on it either."""
    cluster_of_two.restore()
    yield cluster_of_two
    assert_nobody_left()


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stages without a model, each of which ends when a file in this folder says so; see `exits.POINTS`."""
    stages = ((DecodeWorker, ExitingDecoder), (EncodeWorker, ExitingEncoder))
    spawn = functools.partial(Replacing, told=stages, folder=str(tmp_path))
    monkeypatch.setattr(cluster, "ActorSpawn", spawn)
    monkeypatch.setattr(cluster, "JournalActor", ExitingJournalActor)
    monkeypatch.setattr(cluster, "ShardActor", ExitingShard)
    return tmp_path


def assert_nobody_left() -> None:
    deadline = time.monotonic() + 30
    while (left := [p for kind in (*KINDS, CHILD) for p in processes_of(kind)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def processes_of(kind: str) -> Iterator[psutil.Process]:
    """Processes of this module's actors of a kind, whatever class stands for it, or those that decode."""
    starts = (f"ray::{kind}", f"ray::Exiting{kind.removesuffix('Actor').replace('Worker', 'r')}")
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            is_kind = CHILD in words if kind == CHILD else words.startswith(starts)
            if is_kind and process.environ().get(OURS) == str(os.getpid()):
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
    processes = list(processes_of(kind))
    if processes:
        os.kill(processes[0].pid, number)
        killed.append(kind)


@pytest.mark.parametrize("kind", [*KINDS, CHILD])
def test_killing_a_worker_changes_nothing_in_the_rows(
    kind: str, nodes: Nodes, clips: list[str], exits: Path, undisturbed_light: Rows
) -> None:
    killed: list[str] = []
    recorder = AfterRows(5, lambda: send(kind, signal.SIGKILL, killed))
    where = "actors" if kind in ("DecodeWorker", "EncodeWorker") else "threads"
    assert engine.run(config(f"ray.encoders={where}"), clips, recorder, nodes.address, place(exits))
    recorder.join()
    assert killed == [kind]
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed_light)
    if kind in ("DecodeWorker", CHILD):
        assert sum(report.num_restarts for report in recorder.reports.values()) >= 1


@pytest.mark.parametrize("points", [POINTS[n : n + 2] for n in range(0, len(POINTS), 2)])
def test_workers_that_end_in_the_middle_change_nothing_in_the_rows(
    points: tuple[str, str], nodes: Nodes, clips: list[str], exits: Path, undisturbed_light: Rows
) -> None:
    recorder = AfterRows(5, lambda: [(exits / point).touch() for point in points])
    where = "actors" if "encode" in points else "threads"
    assert engine.run(config(f"ray.encoders={where}"), clips, recorder, nodes.address, place(exits))
    recorder.join()
    assert [point for point in points if (exits / point).exists()] == [], "nobody came by there"
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed_light)


@pytest.mark.parametrize("seed", [1])
def test_dying_at_random_changes_nothing_in_the_rows(
    seed: int, nodes: Nodes, clips: list[str], exits: Path, undisturbed_light: Rows
) -> None:
    killed: list[str] = []
    draw = random.Random(seed)  # noqa: S311 - no secret

    def rage() -> None:
        for _ in range(6):
            if draw.random() < 0.5:
                send(draw.choice([*KINDS, CHILD]), signal.SIGKILL, killed)
            else:
                (exits / draw.choice(POINTS)).touch()
            time.sleep(draw.uniform(0.3, 2.0))

    recorder = AfterRows(4, rage)
    assert engine.run(config(), clips, recorder, nodes.address, place(exits))
    recorder.join()
    assert killed
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed_light)


def test_killing_real_encoders_changes_nothing_in_the_rows(
    nodes: Nodes, clips: list[str], undisturbed: Rows, tmp_path: Path
) -> None:
    killed: list[str] = []

    def kill() -> None:
        for kind in ("EncodeWorker", "ShardActor"):
            send(kind, signal.SIGKILL, killed)
            time.sleep(0.5)

    recorder = AfterRows(5, kill)
    assert engine.run(config(), clips, recorder, nodes.address, place(tmp_path))
    recorder.join()
    assert killed == ["EncodeWorker", "ShardActor"]
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed)


def test_a_node_that_goes_and_one_that_comes(
    nodes: Nodes, clips: list[str], exits: Path, undisturbed_light: Rows
) -> None:
    def exchange() -> None:
        nodes.remove()
        nodes.add()

    recorder = AfterRows(5, exchange, in_loop=True)
    assert engine.run(config("ray.encoders=threads"), clips, recorder, nodes.address, place(exits))
    recorder.join()
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed_light)


def test_sources_spread_over_the_nodes_and_one_that_joins_gets_work(nodes: Nodes, exits: Path) -> None:
    clips = [str(write_clip(exits / f"{n}.mp4", 20.0, rate=4, grey=9 * n)) for n in range(12)]
    nodes.remove()
    first = nodes.workers[0].node_id
    recorder = AfterRows(2, nodes.add, in_loop=True)  # Ray adds nodes in the main thread only
    few = config("engine.sources_in_flight=1", "ray.encoders=threads")
    assert engine.run(few, clips, recorder, nodes.address, place(exits))
    recorder.join()
    assert recorder.snapshot["num_shards"] == 2
    assert recorder.snapshot["stages"]["decode"]["num_workers"] == 2
    assert len(recorder.by_segment()) == 12 * 10
    joined = nodes.workers[1].node_id
    done = {node: {p.name.partition("-")[2] for p in exits.glob(f"{node}-*")} for node in (first, joined)}
    assert len(done[first]) >= 2
    assert len(done[joined]) >= 2
    assert done[first] | done[joined] == {f"{n}.mp4" for n in range(12)}
    assert not done[first] & done[joined]
    assert_same(recorder.by_segment(), light_rows_here(clips))


def test_a_run_leaves_nothing_on_a_cluster(nodes: Nodes, clips: list[str], undisturbed: Rows, tmp_path: Path) -> None:
    import ray
    from ray._private import state
    from ray.util import placement_group_table

    out = tmp_path / "out"
    program = [
        sys.executable,
        "-c",
        "from streammm.cli import main; main()",
        "run",
        *clips,
        "--labels",
        LABELS,
        "--set",
        PRECISION,
    ]
    done = subprocess.run(
        [*program, "--out", str(out), f"--ray={nodes.address}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "core_worker" not in done.stderr  # Ray's own words
    assert_same(rows_of(out / "results.jsonl"), undisturbed)
    assert_nobody_left()
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        deadline = time.monotonic() + 30
        while ray.available_resources() != ray.cluster_resources() and time.monotonic() < deadline:
            time.sleep(0.2)
        free, whole = ray.available_resources(), ray.cluster_resources()
        assert free == pytest.approx(whole)
        assert {actor["State"] for actor in state.actors().values()} == {"DEAD"}
        assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}
    finally:
        ray.shutdown()


@pytest.mark.parametrize("kind", ["DecodeWorker", "EncodeWorker"])
def test_a_worker_that_hangs_is_replaced(
    kind: str, nodes: Nodes, clips: list[str], exits: Path, undisturbed_light: Rows
) -> None:
    hung: list[str] = []
    where = "actors" if kind in ("DecodeWorker", "EncodeWorker") else "threads"
    quick = config("engine.hang_seconds=6", "decode.segment_seconds=1", f"ray.encoders={where}")
    recorder = AfterRows(5, lambda: send(kind, signal.SIGSTOP, hung))
    assert engine.run(quick, clips, recorder, nodes.address, place(exits))
    recorder.join()
    assert hung == [kind]
    assert recorder.failures == {}
    assert_same(recorder.by_segment(), undisturbed_light)


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
        batcher = Batcher(encoder, BatchSize(16), limit_seconds=4.0 if hangs else 60.0)
        return await asyncio.gather(
            batcher.put("a", [segment(0), segment(1)], 2),
            batcher.put("b", [segment(4), segment(5), segment(6)], 3),
            batcher.put("c", [segment(9)], 1),
        )

    ray.init(address=nodes.address, log_to_driver=False)
    try:
        first, second, third = asyncio.run(scenario())
    finally:
        ray.shutdown()
    assert (first.failures, third.failures) == ({}, {})
    assert first.embeddings.vectors[:, 0].tolist() == [0, 1]
    assert second.embeddings.present.tolist() == [True, False, True]
    assert second.embeddings.vectors[:, 0].tolist() == [4, 0, 6]
    assert second.failures == {1: f"it {'hung' if hangs else 'ended'} the encoder 2 times"}


PROGRAM = """
import os, signal
from streammm.cli import main
signal.signal(signal.SIGUSR1, lambda *_: os._exit(9))
main()
"""


@pytest.mark.parametrize("how", [[], ["--ray"]])
def test_a_driver_that_is_killed_is_taken_up_again(
    how: list[str], clips: list[str], undisturbed: Rows, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = [sys.executable, "-c", PROGRAM, "run", *clips, "--labels", LABELS, "--set", PRECISION]
    program += ["--out", str(out), "--set", "engine.chunk_segments=1", *how]
    results = out / "results.jsonl"
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGUSR1, 9)):  # the second ends by os._exit
        num_before = results.read_bytes().count(b"\n") if results.exists() else 0
        with subprocess.Popen(program, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                if results.exists() and results.read_bytes().count(b"\n") > num_before + 3:
                    process.send_signal(number)
                time.sleep(0.05)
        assert process.returncode == code
        with results.open("ab") as file:
            file.write(b'{"torn": ')  # what the journal does not know of is taken back
    assert_nobody_left()
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert_same(rows_of(results), undisturbed)
    assert json.loads((results.read_text().splitlines())[0])["segment"] == 0


def rows_of(results: Path) -> Rows:
    recorder = Recorder()
    recorder.entries([Entry("", 0, "row", line) for line in results.read_text().splitlines()])
    return recorder.by_segment()
