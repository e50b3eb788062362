"""The same work by streammm and by what people would use instead of it, side by side.

    python benchmarks/peers/environments.py
    python benchmarks/peers.py FILM_OR_FOLDER [--repeats 5] [--only NAME...] [--quick] [--json FILE]

The film, of a folder the longest one with picture and sound, is first turned into H.264 with AAC at 360p and 1080p. All
use the same nets in the same precision, look at the same pictures (two a second, each the one shown mid-interval) and
hear the same sound; that they do is checked first. Then:

- cold: from the command to the first row and to its end, for a clip of ten seconds; nets are compiled already, and the
  database server of Pixeltable runs already;
- warm: each is run over few and over many copies as a process of its own, in alternating order; the difference is what
  the media itself costs. CPU and memory are those of all processes, shared pages counted once;
- faults: segments that are right in clips with something wrong in them, all of them given in one run. What is right is
  known from how the clips were made. A program that dies loses what it had not written.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import av
from clips import SIZES, make_media

PEERS = Path(__file__).parent / "peers"
sys.path.insert(0, str(PEERS))
os.environ |= {
    "PYTHONPATH": os.pathsep.join([str(PEERS), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "OMP_WAIT_POLICY": "PASSIVE",
    "RAY_AUTH_MODE": "disabled",
    "RAY_worker_niceness": "0",
    "DO_NOT_TRACK": "true",
}

import environments  # noqa: E402 - found by what was set above
from bench import Bench  # noqa: E402
from fault_table import count_faults  # noqa: E402
from programs import programs  # noqa: E402
from same import check_same_work  # noqa: E402
from speed import measure_cold, measure_warm, print_goals  # noqa: E402

COPIES = {"360p": (4, 20), "1080p": (2, 6)}
QUICK_COPIES = {"360p": (2, 12), "1080p": (1, 4)}
SHORT_SECONDS = 10


def film_of(path: Path) -> Path:
    """The film, or the longest one in a folder with picture and sound."""
    found = []
    for each in [path] if path.is_file() else sorted(path.iterdir()):
        with suppress(av.FFmpegError, OSError), av.open(str(each)) as film:
            if film.streams.video and film.streams.audio:
                found.append((film.duration or 0, each))
    if not found:
        raise SystemExit(f"{path} is no film with picture and sound, and has none in it")
    return max(found)[1]


def main() -> None:
    names = list(programs())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="a film with picture and sound, or a folder of some")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--parts", nargs="+", choices=["cold", "warm", "faults"], default=["cold", "warm", "faults"])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES), help="of the warm runs")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the clips that are copied")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", default="fp32", help="of the nets of all")
    parser.add_argument("--quick", action="store_true", help="one repeat, few and short copies")
    parser.add_argument("--environments", type=Path, default=environments.FOLDER, help="folder of environments.py")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.seconds = 1, min(20.0, arguments.seconds)
    film = film_of(arguments.media)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(arguments, Path(temporary))
        bench.prepare()
        try:
            (bench.folder / "short").mkdir()
            short = [make_media(film, bench.folder / "short", size, SHORT_SECONDS) for size in SIZES]
            check_same_work(bench, short)
            if "cold" in arguments.parts:
                measure_cold(bench, short[0])
            for size, (few, many) in (QUICK_COPIES if arguments.quick else COPIES).items():
                if "warm" in arguments.parts and size in arguments.sizes:
                    media = make_media(film, bench.folder, size, arguments.seconds)
                    measure_warm(bench, media, arguments.seconds, few, many)
            if "faults" in arguments.parts:
                count_faults(bench)
            print_goals(bench, arguments.sizes)
        finally:
            bench.close()
    bench.result.write(arguments.json)


if __name__ == "__main__":
    main()
