"""What no linter knows of the Dockerfile: that it fits the project it is for."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

DOCKERFILE = "docker/Dockerfile"
_CPU = {"STREAMMM_CACHE", "OMP_WAIT_POLICY=PASSIVE", "RAY_USAGE_STATS_ENABLED=0"}
_ENVIRONMENT = {
    "cpu": _CPU,
    # video is what decodes and encodes on the GPU; utility is nvidia-smi.
    "cuda": _CPU | {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"},
}
_HOST = re.compile(r"https?://|\b(?:[a-z0-9-]+\.)+(?:org|com|io|net)/", re.IGNORECASE)

Instruction = tuple[str, str]


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the Dockerfile below ``root`` and its .dockerignore."""
    text = (root / DOCKERFILE).read_text(encoding="utf-8")
    ignore = (root / f"{DOCKERFILE}.dockerignore").read_text(encoding="utf-8").split("\n")
    patterns = [line.strip() for line in ignore if line.strip() and not line.startswith("#")]
    instructions = list(_instructions(text))
    if host := _HOST.search(text):
        yield f"the Dockerfile names a host: {host[0]}"
    for path in _copied(instructions):
        if not (root / path).exists():
            yield f"COPY of {path}, which does not exist"
        elif _is_ignored(path, patterns):
            yield f"COPY of {path}, which .dockerignore leaves out"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r'"\.\[([\w,]+)\]"', text):
        for name in sorted(set(extra.split(",")) - project["optional-dependencies"].keys()):
            yield f"the project has no extra {name!r}"
    for target, wanted in _ENVIRONMENT.items():
        for problem in _target_problems(_inherited(instructions, target), wanted, project["scripts"]):
            yield f"{target}: {problem}"


def _target_problems(target: list[Instruction], wanted: set[str], scripts: dict[str, str]) -> Iterator[str]:
    if not any(name == "USER" and re.fullmatch(r"[1-9]\d*:[1-9]\d*", words) for name, words in target):
        yield "no USER that is a number and not root"
    environment = " ".join(words for name, words in target if name == "ENV").split()
    for variable in sorted(wanted):
        if not any(entry == variable or entry.startswith(f"{variable}=") for entry in environment):
            yield f"ENV lacks {variable}"
    entrypoint = next((json.loads(words) for name, words in target if name == "ENTRYPOINT"), [""])
    if entrypoint[0] not in scripts:
        yield f"the entry point {entrypoint[0]!r} is no command of the project"


def targets(root: Path) -> set[str]:
    """The names of the stages of the Dockerfile below ``root``."""
    return set(_stages(list(_instructions((root / DOCKERFILE).read_text(encoding="utf-8")))))


def _stages(instructions: list[Instruction]) -> dict[str, list[Instruction]]:
    stages: dict[str, list[Instruction]] = {}
    for name, words in instructions:
        if name == "FROM":
            stages[words.split()[-1]] = []
        if stages:
            stages[list(stages)[-1]].append((name, words))
    return stages


def _inherited(instructions: list[Instruction], target: str) -> list[Instruction]:
    """The instructions of a stage, after those of the stages that it is made from."""
    stages = _stages(instructions)
    own = stages.get(target, [])
    base = own[0][1].split()[0] if own else ""
    return [*(_inherited(instructions, base) if base in stages else []), *own]


def _instructions(text: str) -> Iterator[Instruction]:
    lines = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").split("\n"):
        if line.strip():
            name, _, words = line.strip().partition(" ")
            yield name.upper(), words.strip()


def _copied(instructions: list[Instruction]) -> Iterator[str]:
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
