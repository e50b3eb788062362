"""An environment for each peer: what its list pins, over the packages of the environment that runs the benchmark.

    python benchmarks/peers/environments.py [--folder FOLDER] [daft pixeltable]

A peer's environment is thin: torch, OpenVINO and streammm lie in the environment below, and what the peer wants in
another version lies in its own, which comes first. Nothing is installed into the environment below.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from platformdirs import user_cache_path

LISTS = Path(__file__).parent
FOLDER = user_cache_path("streammm-peers")


def names() -> list[str]:
    """The peers that need packages which streammm does not."""
    return sorted(path.stem for path in LISTS.glob("*.txt"))


def python(name: str, folder: Path) -> Path:
    """The Python that a peer runs on; for one without a list it is this one."""
    return folder / name / "bin" / "python" if name in names() else Path(sys.executable)


def is_made(name: str, folder: Path) -> bool:
    """Whether a peer's environment is there, as its list and the environment below are now."""
    mark = folder / name / "made"
    return name not in names() or (mark.is_file() and mark.read_text() == _mark(name))


def make(name: str, folder: Path) -> None:
    """Makes a peer's environment anew; nothing happens where it is made."""
    if is_made(name, folder):
        return
    where = folder / name
    venv.create(where, clear=True, with_pip=True)
    packages = next((where / "lib").iterdir()) / "site-packages"
    below = sysconfig.get_path("purelib")
    # Not a plain path: so the editable install in the environment below is found as well.
    (packages / "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")
    pip = [where / "bin" / "python", "-m", "pip", "install", "-qq"]
    subprocess.run([*pip, "-r", LISTS / f"{name}.txt"], check=True)
    (where / "made").write_text(_mark(name))


def _mark(name: str) -> str:
    pins = (LISTS / f"{name}.txt").read_bytes()
    return hashlib.sha256(pins + sysconfig.get_path("purelib").encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"default: {' '.join(names())}")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.peers) - set(names())):
        parser.error(f"{unknown[0]} has no environment of its own: those that have are {', '.join(names())}")
    for name in arguments.peers or names():
        make(name, arguments.folder)
        print(f"{name}: {python(name, arguments.folder)}")


if __name__ == "__main__":
    main()
