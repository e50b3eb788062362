"""Checks Dockerfile and compose.yaml where there is no container engine: python docker/check.py [--live CLIP].

Without --live it reads the files and names what is wrong with them, one line each; with it the commands of the
containers run as processes of this machine as well and the rows they make are written out. Exit status 1: a problem.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose
import yaml

_DOCKERFILE = "docker/Dockerfile"
_SECRET = {"RAY_AUTH_TOKEN": "0" * 64}
_WANTED_ENVIRONMENT = {"STREAMMM_CACHE", "OMP_WAIT_POLICY=PASSIVE", "RAY_USAGE_STATS_ENABLED=0"}
_HOST = re.compile(r"https?://|\b(?:[a-z0-9-]+\.)+(?:org|com|io|net)/", re.IGNORECASE)


def image_problems(root: Path) -> Iterator[str]:
    """What is wrong with the Dockerfile below ``root`` and its .dockerignore."""
    text = (root / _DOCKERFILE).read_text(encoding="utf-8")
    ignore = (root / f"{_DOCKERFILE}.dockerignore").read_text(encoding="utf-8").split("\n")
    patterns = [line.strip() for line in ignore if line.strip() and not line.startswith("#")]
    instructions = list(_instructions(text))
    if host := _HOST.search(text):
        yield f"the Dockerfile names a host: {host[0]}"
    for path in _copied(instructions):
        if not (root / path).exists():
            yield f"COPY of {path}, which does not exist"
        elif _is_ignored(path, patterns):
            yield f"COPY of {path}, which .dockerignore leaves out"
    final = instructions[max(i for i, (name, _) in enumerate(instructions) if name == "FROM") :]
    if not any(name == "USER" and words not in ("root", "0") for name, words in final):
        yield "the image runs as root"
    environment = " ".join(words for name, words in final if name == "ENV").split()
    for wanted in sorted(_WANTED_ENVIRONMENT):
        if not any(entry == wanted or entry.startswith(f"{wanted}=") for entry in environment):
            yield f"ENV lacks {wanted}"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entrypoint = next((json.loads(words) for name, words in final if name == "ENTRYPOINT"), [""])
    if entrypoint[0] not in project["scripts"]:
        yield f"the entry point {entrypoint[0]!r} is no command of the project"
    for extra in re.findall(r'"\.\[([\w,]+)\]"', text):
        for name in set(extra.split(",")) - project["optional-dependencies"].keys():
            yield f"the project has no extra {name!r}"


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").split("\n"):
        if line.strip():
            name, _, words = line.strip().partition(" ")
            yield name.upper(), words.strip()


def _copied(instructions: list[tuple[str, str]]) -> Iterator[str]:
    for name, words in instructions:
        if name == "COPY" and "--from=" not in words:
            yield from words.split()[:-1]


def _is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether the last pattern that fits a path in the build's context leaves it out."""
    ignored = False
    for pattern in patterns:
        if fnmatch.fnmatchcase(path, pattern.lstrip("!")):
            ignored = not pattern.startswith("!")
    return ignored


def compose_problems(root: Path) -> Iterator[str]:
    """What is wrong with compose.yaml below ``root``."""
    try:
        compose.load(root / "docker/compose.yaml", {})
        yield "a cluster would start without a token"
    except ValueError as error:
        if "RAY_AUTH_TOKEN" not in str(error):
            yield str(error)
            return
    try:
        file = compose.load(root / "docker/compose.yaml", _SECRET)
    except ValueError as error:
        yield str(error)
        return
    for name, service in file["services"].items():
        for problem in _service_problems(root, file, service):
            yield f"{name}: {problem}"
    media = {tuple(m for m in compose.mounts(s) if m.target == "/media") for s in file["services"].values()}
    if len(media) > 1:
        yield "not every node sees the same media under /media"


def _service_problems(root: Path, file: dict[str, Any], service: dict[str, Any]) -> Iterator[str]:
    if build := service.get("build"):
        context = root / "docker" / build["context"]
        if not (context / build["dockerfile"]).is_file():
            yield f"no Dockerfile {build['dockerfile']} in its context {build['context']}"
    for key, wanted in {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}.items():
        if service.get(key) != wanted:
            yield f"{key} is not {wanted}"
    if service.get("privileged") or str(service.get("user", "0")).split(":")[0] in ("0", "root"):
        yield "runs as root or privileged"
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"publishes {port} to the network"
    if service["environment"].get("RAY_AUTH_MODE") != "token":
        yield "asks for no token"
    for limit in ("cpus", "mem_limit", "pids_limit"):
        if limit not in service:
            yield f"has no {limit}"
    yield from _mount_problems(service)
    store = re.search(r"--object-store-memory=(\d+)", " ".join(compose.command(service)))
    if store is None or int(store[1]) > compose.size_bytes(service["shm_size"]):
        yield "its object store does not fit into /dev/shm"
    for network in service.get("networks", []):
        if network not in file.get("networks", {}):
            yield f"there is no network {network}"
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy" and "healthcheck" not in file["services"].get(other, {}):
            yield f"waits for the health of {other}, which tells none"
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if shutil.which(compose.command(service)[0], path=places) is None:
        yield f"there is no program {compose.command(service)[0]}"


def _mount_problems(service: dict[str, Any]) -> Iterator[str]:
    mounts = {mount.target: mount for mount in compose.mounts(service)}
    if "/media" in mounts and not mounts["/media"].is_read_only:
        yield "can write to the media"
    for path in re.findall(r"(?<![\w:.])/(?:tmp|runs|media)\b", " ".join(compose.command(service))):
        if path not in mounts:
            yield f"its command uses {path}, where nothing is mounted"


def main() -> int:
    """Runs the checks; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--live", type=Path, metavar="CLIP", help="also run the commands of the containers on a clip")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the repository")
    arguments = parser.parse_args()
    try:
        problems = [*image_problems(arguments.root), *compose_problems(arguments.root)]
    except (OSError, yaml.YAMLError) as error:
        problems = [str(error)]
    for problem in problems:
        sys.stderr.write(f"problem: {problem}\n")
    if problems or arguments.live is None:
        return bool(problems)
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
