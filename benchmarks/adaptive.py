"""What each decode.mode costs, and how often it names the label that `exact` names.

    python benchmarks/adaptive.py ordinary=films/ static=cameras/ fast=sport.mp4 [--labels a,b] [--quick] [--json FILE]

Each KIND=PATH is a kind of footage, PATH a file or a folder; `still`, a picture of the first file with noise over it,
is made here. `streammm run` is run over each kind with each setting, in alternating order. CPU seconds are those of all
its processes, less what a run over a tenth of a second costs; "less" is how many times less than exact. Agreement is
the share of segments whose row has the same first label; in brackets, of those whose first two labels `exact` tells
apart by more than 0.02.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from figures import Result
from processes import measure

SETTINGS = {
    "exact": ["decode.mode=exact"],
    "adaptive 0.3": ["decode.mode=adaptive", "decode.max_difference=0.3"],
    "adaptive": ["decode.mode=adaptive"],
    "adaptive 3": ["decode.mode=adaptive", "decode.max_difference=3"],
    "adaptive 9": ["decode.mode=adaptive", "decode.max_difference=9"],
    "fast": ["decode.mode=fast"],
    "keyframes": ["decode.mode=keyframes"],
}
QUICK = ("exact", "adaptive", "keyframes")
TIE = 0.02

Rows = dict[tuple[str, int], list[tuple[str, float]]]


def agreement(exact: Rows, other: Rows, least_margin: float = 0.0) -> float:
    """The share of segments with the same first label, of those whose first two labels are further apart; 1 if none."""
    judged = [
        (other[at][0][0] if other.get(at) else None) == labels[0][0]
        for at, labels in exact.items()
        if labels and (len(labels) < 2 or labels[0][1] - labels[1][1] > least_margin or not least_margin)
    ]
    return statistics.fmean(judged) if judged else 1.0


def rows(out: Path) -> Rows:
    """The labels of every row of a run directory, best first."""
    found = {}
    for line in (out / "results.jsonl").read_text().splitlines():
        row = json.loads(line)
        found[row["source"], row["segment"]] = [(each["label"], each["score"]) for each in row["labels"]]
    return found


def run(paths: Iterable[Path], settings: list[str], labels: str | None, folder: Path) -> tuple[float, Rows]:
    """CPU seconds of a whole run, and its rows."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, "-c", "from streammm.cli import main; main()", "run", *map(str, paths), "--out", out]
        for setting in settings:
            command += ["--set", setting]
        cost = measure([*command, *(["--labels", labels] if labels else [])])
        return cost.cpu_seconds, rows(Path(out))


def first_picture(path: Path) -> av.VideoFrame:
    """Of a file, or of the first in a folder that has one."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        try:
            with av.open(str(file)) as container:
                return next(container.decode(video=0))
        except (av.error.FFmpegError, IndexError, StopIteration, OSError):
            continue
    raise SystemExit(f"there is no picture in {path}")


def write_still(path: Path, picture: av.VideoFrame, seconds: float, gop: int = 50) -> Path:
    """A camera that sees nothing move: a picture with noise, 25 times a second, a key picture every two seconds."""
    size = picture.width // 2 * 2, picture.height // 2 * 2
    still = picture.reformat(*size, "rgb24").to_ndarray().astype(np.int16)
    chance = np.random.default_rng(0)
    noisy = [(still + chance.integers(-4, 5, still.shape, np.int16)).clip(0, 255).astype(np.uint8) for _ in range(8)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", gop
        for n in range(max(3, round(seconds * 25))):
            frame = av.VideoFrame.from_ndarray(noisy[n % len(noisy)], "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", nargs="+", metavar="KIND=PATH", help="a kind of footage; a kind may be named again")
    parser.add_argument("--labels", help="what to look and listen for; the general list where it is missing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="once, fewer settings, a short still")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    kinds: dict[str, list[Path]] = {}
    for each in arguments.media:
        kind, separator, path = each.partition("=")
        if not separator or not Path(path).exists():
            parser.error(f"expected KIND=PATH with a path that is there, got {each}")
        kinds.setdefault(kind, []).append(Path(path))
    settings = {name: SETTINGS[name] for name in (QUICK if arguments.quick else SETTINGS)}
    repeats = 1 if arguments.quick else arguments.repeats
    result = Result("adaptive")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = first_picture(next(iter(kinds.values()))[0])
        nothing = write_still(folder / "nothing.mp4", picture, 0.1)
        kinds["still"] = [write_still(folder / "still.mp4", picture, 60.0 if arguments.quick else 300.0)]
        start = statistics.median(run([nothing], settings["exact"], arguments.labels, folder)[0] for _ in range(3))
        print(f"a run over nothing takes {start:.1f} CPU seconds, which are taken off below\n")
        print(f"{'footage':<12}{'segments':>9}  {'setting':<14}{'CPU s':>18}{'less':>18}{'agreement':>18}")
        for kind, paths in kinds.items():
            spent: dict[str, list[float]] = {name: [] for name in settings}
            found: dict[str, Rows] = {}
            for repeat in range(repeats):
                for name in list(settings)[:: 1 if repeat % 2 == 0 else -1]:
                    seconds, found[name] = run(paths, settings[name], arguments.labels, folder)
                    spent[name].append(seconds - start)
            for name, seconds in spent.items():
                key = f"{kind}/{name}"
                cost = result.add(f"{key}/CPU", "s", seconds)
                less = result.add(
                    f"{key}/less", "times", [a / b for a, b in zip(spent["exact"], seconds, strict=True)], "more"
                )
                same, clear = (agreement(found["exact"], found[name], margin) for margin in (0.0, TIE))
                result.add(f"{key}/agreement", "share", [same], "more")
                result.add(f"{key}/agreement without ties", "share", [clear], "more")
                told = f"{same:.1%} ({clear:.1%})"
                num_segments = len(found["exact"])
                print(f"{kind:<12}{num_segments:>9}  {name:<14}{cost!s:>18}{less!s:>18}{told:>18}", flush=True)
    result.write(arguments.json)


if __name__ == "__main__":
    main()
