"""How well cuts are found, and what that costs on top of decoding: python benchmarks/shots.py MEDIA

MEDIA is a folder that holds tears_of_steel_70s.webm and bbb_0_30.webm, at any depth. Where PySceneDetect is installed
its detectors run on the same files beside ours.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path

import av

from streammm.media.shots import ShotDetector

# Seconds at which the picture is another, each looked at by eye.
CUTS = {
    "tears_of_steel_70s.webm": (
        2.17, 5.08, 6.58, 9.21, 12.88, 29.79, 32.83, 36.33, 37.54, 41.12, 46.96, 50.12,
        51.42, 51.92, 53.5, 56.04, 57.42, 59.58, 61.33, 63.54, 65.46, 67.42, 68.75, 70.38,
    ),
    "bbb_0_30.webm": (11.79, 15.67, 22.96),
}  # fmt: skip
TOLERANCE_SECONDS = 0.06


def ours(path: Path) -> tuple[list[float], float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(Fraction(f.pts) * f.time_base, f) for f in container.decode(stream) if f.pts is not None]
    detector = ShotDetector()
    started = time.process_time()
    cuts = [cut for start, frame in frames for cut in detector.push(start, frame)] + detector.flush()
    return [float(cut) for cut in cuts], (time.process_time() - started) / len(frames)


def theirs(name: str, path: Path) -> tuple[list[float], None]:
    import scenedetect

    found = scenedetect.detect(str(path), getattr(scenedetect, name)())
    return [start.seconds for start, _ in found[1:]], None


def main() -> None:
    folder = Path(sys.argv[1])
    detectors = {"streammm": ours}
    try:
        import scenedetect  # noqa: F401
    except ImportError:
        print("PySceneDetect is not installed, ours alone")
    else:
        for name in ("AdaptiveDetector", "ContentDetector"):
            detectors[name] = lambda path, name=name: theirs(name, path)
    print(
        f"{'clip':<26} {'detector':<18} {'cuts':>4} {'found':>5} {'false':>5} {'precision':>9} {'recall':>6}  ms/frame"
    )
    for clip, truth in CUTS.items():
        path = next(folder.rglob(clip))
        for name, detect in detectors.items():
            found, seconds = detect(path)
            right = sum(any(abs(cut - t) <= TOLERANCE_SECONDS for cut in found) for t in truth)
            false = sum(all(abs(cut - t) > TOLERANCE_SECONDS for t in truth) for cut in found)
            cost = "" if seconds is None else f"{seconds * 1000:9.3f}"
            precision = right / (right + false) if found else 0.0
            counts = f"{len(truth):>4} {right:>5} {false:>5} {precision:>9.2f} {right / len(truth):>6.2f}"
            print(f"{clip:<26} {name:<18} {counts} {cost}")


if __name__ == "__main__":
    main()
