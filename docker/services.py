"""What no schema knows of compose.yaml: that its services are guarded, and fit each other, the image and the files."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import compose
import image

SECRETS = {"RAY_AUTH_TOKEN": "0" * 64, "GRAFANA_PASSWORD": "0" * 16}
_GUARDS = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def problems(root: Path) -> Iterator[str]:
    """What is wrong with compose.yaml below ``root``."""
    path = root / "docker/compose.yaml"
    for name in SECRETS:
        try:
            compose.load(path, {other: value for other, value in SECRETS.items() if other != name})
            yield f"it would start without {name}"
        except ValueError as error:
            if name not in str(error):
                yield str(error)
                return
    file = compose.load(path, SECRETS)
    for name, service in file["services"].items():
        checks = [_guard_problems(service), _link_problems(file, service), _mount_problems(root, service)]
        if is_node(service):
            checks.append(_node_problems(root, service))
        for problem in (found for check in checks for found in check):
            yield f"{name}: {problem}"
    media = {tuple(m for m in compose.mounts(s) if m.target == "/media") for s in _nodes(file)}
    if len(media) > 1:
        yield "not every node sees the same media under /media"


def is_node(service: Mapping[str, Any]) -> bool:
    """Whether a service is a node of the Ray cluster."""
    return "ray start" in " ".join(compose.command(service))


def _nodes(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [service for service in file["services"].values() if is_node(service)]


def _guard_problems(service: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted in _GUARDS.items():
        if service.get(key) != wanted:
            yield f"{key} is not {wanted}"
    if service.get("privileged") or str(service.get("user", "0")).split(":")[0] in ("0", "root"):
        yield "runs as root or privileged"
    for limit in ("cpus", "mem_limit", "pids_limit"):
        if limit not in service:
            yield f"has no {limit}"
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"publishes {port} to the network"
    if "build" not in service and not re.search(r":v?\d+\.\d+\.\d+$", service["image"]):
        yield f"the image {service['image']} has no version of three numbers"


def _link_problems(file: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[str]:
    networks = file.get("networks", {})
    for network in service.get("networks", []):
        if network not in networks:
            yield f"there is no network {network}"
    if service.get("ports") and all((networks.get(n) or {}).get("internal") for n in service["networks"]):
        yield "publishes a port of a network that leads nowhere"
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy" and "healthcheck" not in file["services"].get(other, {}):
            yield f"waits for the health of {other}, which tells none"


def _mount_problems(root: Path, service: Mapping[str, Any]) -> Iterator[str]:
    mounts = {mount.target: mount for mount in compose.mounts(service)}
    if "/media" in mounts and not mounts["/media"].is_read_only:
        yield "can write to the media"
    for mount in mounts.values():
        source = mount.source or ""
        if source.startswith("./") and source not in ("./media", "./runs") and not (root / "docker" / source).exists():
            yield f"mounts {source}, which does not exist"
    for path in re.findall(r"(?<![\w:.])/(?:tmp|runs|media|prometheus)\b", " ".join(compose.command(service))):
        if path not in mounts:
            yield f"its command uses {path}, where nothing is mounted"


def _node_problems(root: Path, service: Mapping[str, Any]) -> Iterator[str]:
    build = service["build"]
    if not (root / "docker" / build["context"] / build["dockerfile"]).is_file():
        yield f"no Dockerfile {build['dockerfile']} in its context {build['context']}"
    if build["target"] not in image.targets(root):
        yield f"the Dockerfile has no target {build['target']}"
    if service["environment"].get("RAY_AUTH_MODE") != "token":
        yield "asks for no token"
    if service["networks"] != ["cluster"]:
        yield "is in another network than the cluster's"
    store = re.search(r"--object-store-memory=(\d+)", " ".join(compose.command(service)))
    if store is None or int(store[1]) > compose.size_bytes(service["shm_size"]):
        yield "its object store does not fit into /dev/shm"
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if shutil.which(compose.command(service)[0], path=places) is None:
        yield f"there is no program {compose.command(service)[0]}"
