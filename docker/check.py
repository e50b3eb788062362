"""Checks what is in docker/ where there is no container engine and no Kubernetes: python docker/check.py [--live CLIP].

Without --live it reads the files and names what is wrong with them, one line each; with it the commands of the
containers run as processes of this machine as well and the rows they make are written out. Exit status 1: a problem.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import image
import manifests
import services
import yaml


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the files below ``root``, as far as they can be read."""
    for check in (image.problems, services.problems, manifests.problems):
        try:
            yield from check(root)
        except (OSError, ValueError, yaml.YAMLError) as error:
            yield str(error)


def main() -> int:
    """Runs the checks; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--live", type=Path, metavar="CLIP", help="also run the commands of the containers on a clip")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the repository")
    arguments = parser.parse_args()
    found = list(problems(arguments.root))
    for problem in found:
        sys.stderr.write(f"problem: {problem}\n")
    if found or arguments.live is None:
        return bool(found)
    import live

    # Not where TMPDIR says: the path of a Unix socket must be short.
    with tempfile.TemporaryDirectory(prefix="sm", dir="/tmp") as scratch:
        try:
            rows = live.run(arguments.root / "docker/compose.yaml", arguments.live.resolve(), Path(scratch))
        except live.LiveError as error:
            sys.stderr.write(f"problem: {error}\n")
            return 1
    sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
