"""How near a run comes to the least that its work can cost: decoding and the bare nets, and nothing else.

    python benchmarks/limit.py CLIP [--seconds 60] [--repeats 3] [--sizes 360p 1080p] [--quick] [--json FILE]

CLIP, any film with sound, is first turned into H.264 with AAC at 360p and at 1080p. Over few and over many copies of it
run, in alternating order and each as processes of its own on all cores,

  every picture   PyAV decodes all pictures and the sound, then the nets are run on as many prepared batches as the
                  clips are worth, on the fastest runtime and in the batches that are fastest
  needed pictures the same, but pictures that nothing refers to and that are not sampled are left out, for which they
                  are known beforehand; no way is known that costs less and looks at the same pictures
  streammm run    the whole: from the files to rows in a run directory
  with Ray        the same with --ray

The difference of many and few is the cost of the media itself, free of start-up; CPU seconds are those of the whole
process tree. Neither limit scales a picture, resamples sound or makes a spectrogram. The stage table says where the
rest goes; each stage is measured by itself, in one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from clips import SIZES, make_media
from figures import Result
from processes import measure

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

LABELS = ("speech", "music", "explosion", "car", "person", "city", "animal", "computer")
COPIES = {"360p": (2, 10), "1080p": (2, 4)}
QUICK_COPIES = dict.fromkeys(COPIES, (2, 4))
"""Few and many, for each core: already few keep all processes at work, else the difference would hold start-up."""

FRAMES_PER_SECOND = 2
PATCHES_PER_SECOND = 2
"""Log-mel patches that the sound encoder looks at: four a segment of two seconds."""

BATCH = 4
"""Pictures or patches that a net is given at once; more cost no less each."""

GOAL = {"360p": 1.10, "1080p": 1.05}


def nets() -> tuple[Any, Any]:
    """The bare nets of the picture and the sound encoder, on the runtime that is fastest here."""
    from streammm.building.encoders import make_encoder
    from streammm.building.precision import with_precision
    from streammm.config import load

    config = with_precision(load(labels=LABELS))
    look, listen = make_encoder(config, "video"), make_encoder(config, "audio")
    look.setup()
    listen.setup()
    return look._run, listen._run


def work(paths: list[str], seconds: float, leaves_out: bool) -> None:
    """Decodes files and runs the nets on prepared batches for them."""
    import numpy as np

    look, listen = nets()
    for path in paths:
        decode(path, sampled(path) if leaves_out else None)
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), np.uint8)
    patches = np.random.default_rng(0).normal(0, 1, (BATCH, 96, 64)).astype(np.float32)
    for _ in range(round(len(paths) * seconds * FRAMES_PER_SECOND / BATCH)):
        look([pictures])
    for _ in range(round(len(paths) * seconds * PATCHES_PER_SECOND / BATCH)):
        listen([patches])


_sampled: dict[int, set[int]] = {}


def sampled(path: str) -> set[int]:
    """The pts of the pictures that are looked at; copies of a file have the same, which are found once."""
    inode = Path(path).stat().st_ino
    if inode not in _sampled:
        with av.open(path) as container:
            video = container.streams.video[0]
            times = sorted(packet.pts for packet in container.demux(video) if packet.pts is not None)
            base = video.time_base
        due, found = Fraction(1, 2 * FRAMES_PER_SECOND), set()
        for pts, following in zip(times, [*times[1:], None], strict=True):
            while following is None or due < (following - times[0]) * base:
                found.add(pts)
                due += Fraction(1, FRAMES_PER_SECOND)
                if following is None:
                    break
        _sampled[inode] = found
    return _sampled[inode]


def decode(path: str, needed: set[int] | None) -> None:
    """Decodes the pictures and the sound of a file on one thread; with ``needed`` leaves out what nothing refers to."""
    with av.open(path) as container:
        video = container.streams.video[0]
        video.thread_type, video.codec_context.thread_count = "SLICE", 1
        for packet in container.demux(video=0, audio=0):
            if needed is not None and packet.stream is video:
                video.codec_context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            for _ in packet.decode():
                pass


def in_processes(paths: list[str], seconds: float, leaves_out: bool) -> None:
    """A process a core, each with its share of the files."""
    cores = os.cpu_count() or 1
    shares = [paths[n::cores] for n in range(cores)]
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(work, shares, [seconds] * cores, [leaves_out] * cores))


def stages(path: Path) -> dict[str, float]:
    """CPU milliseconds a media second of every stage, one after another in one thread."""
    from streammm.building.classifier import make_classifier
    from streammm.building.encoders import make_encoder
    from streammm.building.precision import with_precision
    from streammm.building.vocabulary import make_vocabulary
    from streammm.config import load
    from streammm.media import wire
    from streammm.media.convert import PictureConverter
    from streammm.media.options import DecodeOptions
    from streammm.media.reader import SegmentReader

    spent: dict[str, float] = defaultdict(float)

    def timed(stage: str, work, *args):  # type: ignore[no-untyped-def]
        start = time.process_time()
        result = work(*args)
        spent[stage] += time.process_time() - start
        return result

    needed, convert = sampled(str(path)), PictureConverter(256, 224)
    with av.open(str(path)) as container:
        duration = container.duration / av.time_base
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.thread_type, video.codec_context.thread_count = "SLICE", 1
        packets = container.demux(video, audio)
        while (packet := timed("demux", next, packets, None)) is not None:
            if packet.stream is not video:
                timed("decode sound", packet.decode)
                continue
            video.codec_context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            for frame in timed("decode pictures", packet.decode):
                if frame.pts in needed:
                    timed("scale pictures", convert, frame)
    config = with_precision(load(labels=LABELS))
    look, listen, read = (make_encoder(config, m) for m in ("video", "audio", "text"))
    for encoder in (look, listen, read):
        encoder.setup()
    classifier = make_classifier(config, make_vocabulary(config, read))
    start = time.process_time()
    with SegmentReader(str(path), DecodeOptions()) as reader:
        segments = list(reader)
    reading = time.process_time() - start
    spent["clock, resampling and cutting"] = reading - sum(spent.values())
    rows = classifier.begin()
    for i in range(0, len(segments), 4):
        chunk = segments[i : i + 4]
        for segment in chunk:
            timed("over the wire (one end)", wire.from_segment, segment)
        made = {
            "video": timed("picture encoder", look.encode, chunk),
            "audio": timed("sound encoder with log-mel", listen.encode, chunk),
        }
        timed("fusion and rows", rows.push, chunk, made)
    return {stage: 1000 * cpu / duration for stage, cpu in spent.items()}


def first_row(command: list[str]) -> float:
    """Seconds from the start of a command to its first line."""
    import subprocess

    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit(f"{' '.join(command)} wrote nothing")
        seconds = time.perf_counter() - started
        process.stdout.read()
    return seconds


def report(name: str, media: Path, arguments: argparse.Namespace, result: Result) -> None:
    """Measures one size and prints its tables."""
    few, many = ((os.cpu_count() or 1) * copies for copies in (QUICK_COPIES if arguments.quick else COPIES)[name])
    copies = [str(media.with_name(f"{name}-{n}.mp4")) for n in range(many)]
    for copy in copies:
        os.link(media, copy)
    run = [sys.executable, "-c", "from streammm.cli import main; main()", "run", "--labels", ",".join(LABELS)]
    bare = [sys.executable, __file__, "--seconds", str(arguments.seconds)]
    ways = {
        "every picture": [*bare, "--work", "all"],
        "needed pictures": [*bare, "--work", "needed"],
        "streammm run": [*run, "--out", str(media.parent / f"{name}-here")],
        "with Ray": [*run, "--ray=local", "--out", str(media.parent / f"{name}-ray")],
    }
    limits = [way for way in ways if "picture" in way]
    if arguments.quick:
        limits = ["needed pictures"]
        ways = {way: ways[way] for way in (*limits, "streammm run")}
    extra = (many - few) * arguments.seconds
    costs: dict[str, list[float]] = defaultdict(list)
    speeds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[float]] = defaultdict(list)
    firsts: list[float] = []
    floors: list[float] = []
    for repeat in range(arguments.repeats):
        for way in list(ways)[:: 1 if repeat % 2 == 0 else -1]:
            fresh = ["--fresh"] if repeat and way in ("streammm run", "with Ray") else []
            again = ["--fresh"] if way in ("streammm run", "with Ray") else []
            short = measure([*ways[way], *fresh, *copies[:few]])
            long = measure([*ways[way], *again, *copies])
            costs[way].append(1000 * (long.cpu_seconds - short.cpu_seconds) / extra)
            speeds[way].append(extra / max(1e-9, long.wall_seconds - short.wall_seconds))
            peaks[way].append(max(short.peak_mib, long.peak_mib))
        firsts.append(first_row([*run, "--out", "-", copies[0]]))
        floors.append(first_row([sys.executable, "-c", "import torch; print(1)"]))
    print(f"\n{name} H.264 with AAC, {arguments.seconds:g} s, medians of {arguments.repeats} (and range)")
    heads = ("CPU ms/media s", *(f"of {limit}" for limit in limits), "media s/s", "peak MiB")
    print(f"{'':18}" + "".join(f"{head:>22}" for head in heads))
    for way in ways:
        cells = [result.add(f"{name}/{way}/CPU", "ms/media s", costs[way])]
        for limit in limits:
            ratios = [a / b for a, b in zip(costs[way], costs[limit], strict=True)]
            cells.append(result.add(f"{name}/{way}/CPU of {limit}", "", ratios))
        cells.append(result.add(f"{name}/{way}/speed", "media s/s", speeds[way], "more"))
        cells.append(result.add(f"{name}/{way}/memory", "MiB", peaks[way]))
        print(f"{way:18}" + "".join(f"{cell!s:>22}" for cell in cells), flush=True)
    print(f"goal for streammm run: {GOAL[name]}")
    print(f"first row after {result.add(f'{name}/first row', 's', firsts)} s", end="; ")
    print(f"a process that only imports torch takes {result.add(f'{name}/import of torch', 's', floors)} s")
    ratios = [first / floor for first, floor in zip(firsts, floors, strict=True)]
    print(f"first row of import of torch: {result.add(f'{name}/first row of import of torch', '', ratios)}")
    table = stages(media)
    whole = result.figures[f"{name}/streammm run/CPU"].median
    print(f"\n{'stage, one thread':40}{'CPU ms/media s':>16}{'share':>8}")
    for stage, cost in table.items():
        result.add(f"{name}/stage {stage}", "ms/media s", [cost])
        print(f"{stage:40}{cost:16.2f}{cost / whole:8.1%}")
    rest = whole - sum(table.values())
    print(f"{'processes, engine, journal and files':40}{rest:16.2f}{rest / whole:8.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="*")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--quick", action="store_true", help="short clips, few copies, without Ray and every picture")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", choices=("all", "needed"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        in_processes([str(path) for path in arguments.clip], arguments.seconds, arguments.work == "needed")
        return
    if len(arguments.clip) != 1:
        parser.error("a clip with picture and sound is needed")
    if arguments.quick:
        arguments.seconds = min(arguments.seconds, 20.0)
    result = Result("limit")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sizes:
            media = make_media(arguments.clip[0], Path(folder), name, arguments.seconds)
            report(name, media, arguments, result)
    result.write(arguments.json)


if __name__ == "__main__":
    main()
