"""Media hours per hour of a GPU: encoders and fusion with decoded segments ready, then a whole run with the cores here.

    python benchmarks/gpu.py [--media FOLDER] [--device cuda] [--quick] [--json FILE]

Three tables. *Nets*: the bare nets on batches that lie on the device already, by batch and precision: what the device
can do. *Encoders and fusion*: segments in the memory of the host -> rows, as a shard does it (each encoder in a thread
with a stream of its own, uploads, log-mel, scores); the share of the bare nets is what is left of it. *Run*: `streammm
run` over a folder; the share of the encoders alone says whether the device waits for decoding, and how many cores would
feed it. Each figure is a median; utilisation is the share of time in which a kernel ran (nvidia-ml), while it was
measured. On a CPU (``--device cpu``) the same code is exercised, for what it is worth.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Result

from streammm.building.classifier import make_classifier
from streammm.building.decoding import listing_options
from streammm.building.encoders import make_encoder
from streammm.building.precision import with_precision
from streammm.building.vocabulary import read_vocabulary
from streammm.config import load
from streammm.encoders import audio, image
from streammm.encoders.check_input import check_segments
from streammm.encoders.graph import exact_kernels
from streammm.encoders.torch_runtime import take_own_stream
from streammm.errors import ConfigError, SourceError
from streammm.media.listing import list_sources
from streammm.types import MODALITIES, SAMPLE_RATE_HZ, Modality, Segment, Status
from streammm_workers import engine
from streammm_workers.sizes import num_cores

NO_GPU = 3
"""Exit status where there is none."""

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_NETS: dict[Modality, tuple[Callable[[], torch.nn.Module], torch.Tensor]] = {
    "video": (image.make_net, torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)),
    "audio": (audio.make_net, torch.randn(1, 96, 64)),
}
_ITEMS_PER_SECOND = 2.0
"""Pictures, and patches of sound, of a second of media as a run is configured by default."""


class Utilisation:
    """Asks the driver a few times a second how busy the device is."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._found: list[int] = []
        self._ended = threading.Event()

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Looks while the block runs."""
        self._found.clear()
        self._ended.clear()
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _look(self) -> None:
        while self._device != "cpu" and not self._ended.wait(0.2):
            try:
                self._found.append(torch.cuda.utilization(self._device))
            except (RuntimeError, ImportError):  # nvidia-ml is not there
                return

    def __str__(self) -> str:
        return f"{statistics.mean(self._found):.0f} %" if self._found else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--media", type=Path, help="folder to run over; without it the last table is left out")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="fewer batches and repeats")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    device = arguments.device
    if device != "cpu" and not torch.cuda.is_available():
        print("no GPU: torch sees no CUDA device; --device cpu runs the same on the processor", file=sys.stderr)
        sys.exit(NO_GPU)
    on_cpu = device == "cpu"
    precisions = ("fp32", "bf16") if on_cpu else ("fp32", "fp16", "bf16")
    batches = (8,) if on_cpu else ((32, 128) if arguments.quick else (8, 16, 32, 64, 128, 256))
    sizes = (8,) if on_cpu else ((64,) if arguments.quick else (8, 32, 64, 128, 256))
    repeats = 3 if arguments.quick or on_cpu else 7
    result = Result("gpu")
    if not on_cpu:
        result.machine["gpu"] = torch.cuda.get_device_name(device)
        print(f"{torch.cuda.get_device_name(device)}, {num_cores()} cores\n")
    bare = _nets(result, device, precisions, batches, repeats)
    alone = _encoders(result, device, precisions, sizes, repeats, bare)
    if arguments.media is not None:
        _run(result, device, arguments.media, alone)
    result.write(arguments.json)


def _nets(
    result: Result, device: str, precisions: Sequence[str], batches: Sequence[int], repeats: int
) -> dict[str, float]:
    """Speed of the bare nets; returns the best media hours an hour by precision, both nets one after the other."""
    print(f"{'net':<8} {'precision':<10} {'batch':>5} {'items/s':>10} {'memory MiB':>11}")
    best: dict[str, float] = {}
    for precision in precisions:
        least: dict[str, float] = {}
        for modality, (make, example) in _NETS.items():
            net = make().eval().requires_grad_(False).to(device, _DTYPES[precision])
            net = net.to(memory_format=torch.channels_last)
            for batch in batches:
                items = example.repeat(batch, *[1] * (example.ndim - 1)).to(device)
                _reset(device)
                seconds = [_timed(lambda net=net, items=items: net(items), device) for _ in range(repeats + 2)][2:]
                name = f"net/{modality}/{precision}/{batch}"
                figure = result.add(name, "items/s", [batch / s for s in seconds], "more")
                print(f"{modality:<8} {precision:<10} {batch:>5} {figure.median:>10.0f} {_memory(device):>11}")
                least[modality] = min(least.get(modality, float("inf")), 1 / figure.median)
        best[precision] = 1 / (_ITEMS_PER_SECOND * sum(least.values()))
    print()
    return best


def _timed(call: Callable[[], Any], device: str) -> float:
    _wait(device)
    begin = time.perf_counter()
    with torch.inference_mode(), exact_kernels():
        call()
    _wait(device)
    return time.perf_counter() - begin


def _encoders(
    result: Result,
    device: str,
    precisions: Sequence[str],
    sizes: Sequence[int],
    repeats: int,
    bare: dict[str, float],
) -> dict[str, float]:
    """Speed of encoders and fusion on ready segments; returns the best media hours an hour by precision."""
    print(f"{'precision':<10} {'segments':>8} {'media h/h':>10} {'of nets':>8} {'utilised':>9} {'memory MiB':>11}")
    best: dict[str, float] = {}
    looking = Utilisation(device)
    for precision in precisions:
        config = load(settings=[f"runtime.device={device}", f"runtime.precision={precision}", "runtime.backend=torch"])
        # Each encoder has a thread of its own, as in a shard: its stream is that of the thread.
        threads = {m: ThreadPoolExecutor(1, initializer=take_own_stream, initargs=(device,)) for m in _NETS}
        encoders = {m: make_encoder(config, m) for m in _NETS}
        for modality, thread in threads.items():
            thread.submit(encoders[modality].setup).result()
        classifier = make_classifier(config, read_vocabulary(config))
        for size in sizes:
            segments = ready_segments(size)

            def once(segments: list[Segment] = segments) -> None:
                futures = {m: threads[m].submit(encoders[m].encode, segments) for m in threads}  # noqa: B023
                classifier.begin().push(segments, {m: f.result() for m, f in futures.items()})  # noqa: B023

            num_calls = 1 if device == "cpu" else max(1, 2048 // size)
            once()
            _reset(device)
            found = []
            with looking.measured():
                for _ in range(repeats):
                    begin = time.perf_counter()
                    for _ in range(num_calls):
                        once()
                    found.append(2.0 * size * num_calls / (time.perf_counter() - begin))
            figure = result.add(f"encoders/{precision}/{size}", "media h/h", found, "more")
            share = figure.median / bare[precision]
            print(
                f"{precision:<10} {size:>8} {figure.median:>10.0f} {share:>8.0%} {looking!s:>9} {_memory(device):>11}"
            )
            best[precision] = max(best.get(precision, 0.0), figure.median)
        for thread in threads.values():
            thread.shutdown()
    print()
    return best


def ready_segments(count: int) -> list[Segment]:
    """Segments of two seconds with four pictures and sound, all different."""
    pictures, sounds = check_segments("video", 16), check_segments("audio", 16)
    found = []
    for n in range(count):
        frames = np.concatenate([pictures[(n + k) % 16].frames for k in range(4)])
        waveform = np.concatenate([sounds[(n + k) % 16].waveform for k in range(3)])[: 2 * SAMPLE_RATE_HZ]
        status: dict[Modality, Status] = {m: Status.OK if m != "text" else Status.ABSENT for m in MODALITIES}
        found.append(
            replace(
                pictures[0],
                index=n,
                start_seconds=2.0 * n,
                end_seconds=2.0 * n + 2,
                frames=frames,
                frame_seconds=2.0 * n + np.arange(4) / 2,
                waveform=waveform,
                status=status,
            )
        )
    return found


class _Counter:
    """Counts media and what was given up; the rest of what an observer is told does not matter here."""

    def __init__(self) -> None:
        self.media_seconds = 0.0
        self.num_failed = 0
        self.first: float | None = None

    def entries(self, entries: Sequence[Any]) -> None:
        self.first = self.first or time.perf_counter()

    def finished(self, report: Any) -> None:
        self.media_seconds += report.media_seconds

    def failed(self, error: SourceError) -> None:
        self.num_failed += 1

    def skipped(self, source: str, reason: str, detail: str) -> None:
        pass

    def progress(self, snapshot: dict[str, Any]) -> None:
        pass


def _run(result: Result, device: str, folder: Path, by_precision: dict[str, float]) -> None:
    """A whole run over a folder, from its first row on, so that loading does not count."""
    config = with_precision(load(settings=[f"runtime.device={device}"]))
    sources = [name for name in list_sources([str(folder)], listing_options(config)) if isinstance(name, str)]
    if not sources:
        raise ConfigError(f"no media files in {folder}")
    looking, counter = Utilisation(device), _Counter()
    _reset(device)
    with tempfile.TemporaryDirectory() as place, looking.measured():
        engine.run(config, sources, counter, None, engine.Place((f"sqlite:///{place}/journal.sqlite",)))
        seconds = time.perf_counter() - (counter.first or time.perf_counter())
    if not counter.media_seconds or seconds <= 0:
        raise ConfigError(f"nothing in {folder} could be read")
    cores, alone = num_cores(), by_precision[config.runtime.precision]
    rate = result.add("run", "media h/h", [counter.media_seconds / seconds], "more").median
    print(f"run: {len(sources)} files, {counter.num_failed} given up, {counter.media_seconds:.0f} s of media")
    print(f"{rate:.0f} media h/h in {config.runtime.precision} with {cores} cores; utilised {looking}")
    print(f"that is {rate / alone:.0%} of the encoders alone")
    needed = cores * alone / rate
    if rate < 0.8 * alone:
        print(f"decoding is the limit; about {needed:.0f} cores like these would keep {device} busy")
    else:
        print("the encoders are the limit")


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _reset(device: str) -> None:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)


def _memory(device: str) -> str:
    return "-" if device == "cpu" else f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f}"


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(str(error))
