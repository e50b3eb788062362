"""What a media second costs: stage by stage, in the pipeline, on Ray, and in a plain script that does the same work.

    python benchmarks/pipeline.py CLIP [--seconds 60] [--repeats 3]

CLIP, any film with sound, is first turned into H.264 with AAC at 360p and at 1080p. Each way of working is run over
few and over many copies of it as a process of its own, in alternating order; the difference of the two is the cost of
the media itself, without start-up. CPU seconds are those of the whole process tree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
from clips import SIZES, make_media
from processes import measure

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

LABELS = ("speech", "music", "explosion", "car", "person", "city", "animal", "computer")
COPIES = {"360p": (4, 20), "1080p": (2, 6)}
SINGLE = ["--set", "decode.threads=1"]


def plain_pool(paths: list[str]) -> None:
    """A process a core, each doing its share of the files one after another."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(plain, [paths[n::cores] for n in range(cores)]))


def plain(paths: list[str]) -> None:
    """The script that a good engineer writes in an hour: decode a file, encode it in batches, score the labels."""
    import numpy as np

    from streammm.build import make_classifier, make_encoder, make_vocabulary
    from streammm.config import load
    from streammm.types import MODALITIES, Segment, Status

    config = load(labels=LABELS)
    look, listen, read = (make_encoder(config, m) for m in ("video", "audio", "text"))
    for encoder in (look, listen, read):
        encoder.setup()
    classifier = make_classifier(config, make_vocabulary(config, read))
    for path in paths:
        pictures, sound, due = [], [], 0.25
        with av.open(path) as container:
            video, resampler = container.streams.video[0], av.AudioResampler("fltp", "mono", 16_000)
            video.thread_type, video.codec_context.thread_count = "SLICE", 1
            held = None
            for packet in container.demux(video=0, audio=0):
                for frame in packet.decode():
                    if isinstance(frame, av.AudioFrame):
                        sound += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
                        continue
                    while held is not None and frame.time > due:
                        width = round(256 * held.width / held.height)
                        rgb = held.reformat(width, 256, "rgb24", interpolation="AREA").to_ndarray()
                        left = (width - 224) // 2
                        pictures.append(rgb[16:240, left : left + 224])
                        due += 0.5
                    held = frame
        wave = np.concatenate(sound)
        status = {**dict.fromkeys(MODALITIES, Status.OK), "text": Status.ABSENT}
        segments = []
        for n in range(-(-len(pictures) // 4)):
            frames, heard = np.stack(pictures[4 * n : 4 * n + 4]), wave[n * 32_000 : (n + 1) * 32_000]
            times = np.zeros(len(frames))
            segments.append(Segment(path, n, 2.0 * n, 2.0 * n + 2, frames, times, heard, (), status))
        made = {"video": look.encode(segments), "audio": listen.encode(segments)}
        rows = classifier.begin().push(segments, made)
        for row in rows:
            json.dumps(row.to_json())


def stages(path: Path) -> dict[str, float]:
    """CPU milliseconds a media second of every stage, one after another in one thread."""
    from streammm.build import make_classifier, make_encoder, make_vocabulary
    from streammm.config import load
    from streammm.media.convert import PictureConverter
    from streammm.media.options import DecodeOptions
    from streammm.media.reader import SegmentReader

    spent: dict[str, float] = defaultdict(float)

    def timed(stage: str, work, *args):  # type: ignore[no-untyped-def]
        start = time.process_time()
        result = work(*args)
        spent[stage] += time.process_time() - start
        return result

    convert, resampler, due = PictureConverter(256, 224), av.AudioResampler("fltp", "mono", 16_000), 0.25
    with av.open(str(path)) as container:
        duration = container.duration / av.time_base
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.thread_type, video.codec_context.thread_count = "SLICE", 1
        packets = container.demux(video, audio)
        while (packet := timed("demux", next, packets, None)) is not None:
            if packet.stream is video:
                for frame in timed("decode", packet.decode):
                    if frame.time > due:
                        timed("convert", convert, frame)
                        due += 0.5
            else:
                for frame in timed("sound decode and resample", packet.decode):
                    timed("sound decode and resample", resampler.resample, frame)
    config = load(labels=LABELS)
    look, listen, read = (make_encoder(config, m) for m in ("video", "audio", "text"))
    for encoder in (look, listen, read):
        encoder.setup()
    classifier = make_classifier(config, make_vocabulary(config, read))
    with SegmentReader(str(path), DecodeOptions()) as reader:
        segments = list(reader)
    rows = classifier.begin()
    for i in range(0, len(segments), 4):
        chunk = segments[i : i + 4]
        made = {
            "video": timed("picture encoder", look.encode, chunk),
            "audio": timed("sound encoder", listen.encode, chunk),
        }
        for segment in chunk:
            timed("log-mel", listen._patches, segment.waveform)
        timed("fusion and rows", rows.push, chunk, made)
    spent["sound encoder"] -= spent["log-mel"]
    for n in range(len(segments)):
        timed("text (a new caption a segment)", read.embed, [f"what is said in segment number {n}"])
    return {stage: 1000 * cpu / duration for stage, cpu in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--plain", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        plain_pool(arguments.plain)
        return
    if arguments.clip is None:
        parser.error("a clip with picture and sound is needed")
    run = [sys.executable, "-c", "from streammm.cli import main; main()", "run", "--labels", ",".join(LABELS)]
    with tempfile.TemporaryDirectory() as temporary:
        ways = {
            "plain script": [sys.executable, __file__, "--plain"],
            "one process": [*run, *SINGLE, "--out", f"{temporary}/here"],
            "--ray": [*run, *SINGLE, "--ray=local", "--out", f"{temporary}/ray"],
        }
        for name in arguments.sizes:
            report(name, make_media(arguments.clip, Path(temporary), name, arguments.seconds), ways, arguments)


def report(name: str, media: Path, ways: dict[str, list[str]], arguments: argparse.Namespace) -> None:
    few, many = COPIES[name]
    copies = []
    for n in range(many):
        copies.append(str(media.with_name(f"{name}-{n}.mp4")))
        os.link(media, copies[-1])
    extra = (many - few) * arguments.seconds
    costs: dict[str, list[float]] = defaultdict(list)
    speeds: dict[str, list[float]] = defaultdict(list)
    starts: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, float] = defaultdict(float)
    for repeat in range(arguments.repeats):
        order = list(ways) if repeat % 2 == 0 else list(ways)[::-1]
        for way in order:
            short, long = measure(ways[way] + copies[:few]), measure(ways[way] + copies)
            costs[way].append(1000 * (long.cpu_seconds - short.cpu_seconds) / extra)
            speeds[way].append(extra / (long.wall_seconds - short.wall_seconds))
            starts[way].append(short.wall_seconds - few * arguments.seconds / speeds[way][-1])
            peaks[way] = max(peaks[way], long.peak_mib)
    print(f"\n{name} H.264 with AAC, {arguments.seconds:g} s, medians of {arguments.repeats}")
    print(f"{'':32}{'CPU ms/media s':>16}{'of the script':>15}{'media s/s':>11}{'start s':>9}{'peak MiB':>10}")
    for way in ways:
        cost = statistics.median(costs[way])
        ratios = [a / b for a, b in zip(costs[way], costs["plain script"], strict=True)]
        print(
            f"{way:32}{cost:16.1f}{statistics.median(ratios):15.3f}{statistics.median(speeds[way]):11.1f}"
            f"{statistics.median(starts[way]):9.1f}{peaks[way]:10.0f}"
        )
    table = stages(media)
    print(f"\n{'stage, one thread':32}{'CPU ms/media s':>16}{'share':>15}")
    ours = statistics.median(costs["one process"])
    for stage, cost in table.items():
        print(f"{stage:32}{cost:16.2f}{cost / ours:15.1%}")
    rest = ours - sum(cost for stage, cost in table.items() if not stage.startswith("text"))
    print(f"{'rest of one process':32}{rest:16.2f}{rest / ours:15.1%}", flush=True)


if __name__ == "__main__":
    main()
