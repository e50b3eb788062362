"""Checks the manifests in kubernetes/: core objects by the schemas of Kubernetes, Ray's by the fields that are used.

Every pod inside of Ray's objects is held to the schema of a pod; kuberay.py says what is known of the rest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kuberay
import kubernetes_validate
import yaml
from pydantic import ValidationError

from streammm.config import load
from streammm.errors import ConfigError

KUBERNETES = "1.34"
"""Version whose schemas are used: the newest but a few, so that fields are not taken that clusters lack."""

SECRETS = {"streammm-ray", "streammm-redis", "streammm-cameras"}
"""Secrets that README.md says how to make."""

_SHM = "/dev/shm"  # noqa: S108 - where Ray has its object store
_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def documents(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in the manifests below ``root``, with the name of its file."""
    for path in sorted((root / "docker/kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path.name, document


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the manifests below ``root``."""
    objects = [(f"{file}: {d['kind']} {d['metadata']['name']}", d) for file, d in documents(root)]
    known = {d["metadata"]["name"] for _, d in objects} | SECRETS
    for name, document in objects:
        try:
            pods = list(_pods(document))
        except (ValidationError, kubernetes_validate.ValidationError) as error:
            yield f"{name}: {str(error).strip()}"
            continue
        claims = {claim["metadata"]["name"] for claim in document.get("spec", {}).get("volumeClaimTemplates", [])}
        for place, pod in pods:
            for problem in _pod_problems(pod, known, claims):
                yield f"{name}: {place}: {problem}"
        if document["kind"] in ("RayJob", "RayCluster"):
            for problem in _ray_problems(root, document):
                yield f"{name}: {problem}"


def _pods(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pod templates of an object, which is held to its schema on the way, as are they."""
    spec = document.get("spec", {})
    if document["kind"] not in ("RayJob", "RayCluster"):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        if "template" in spec:
            yield "pod", spec["template"]
        return
    if document["kind"] == "RayJob":
        job = kuberay.RayJob.model_validate(spec)
        cluster, templates = job.ray_cluster_spec, {"submitter": job.submitter_pod_template}
    else:
        cluster, templates = kuberay.RayCluster.model_validate(spec), {}
    templates |= {"head": cluster.head_group_spec.template}
    templates |= {f"workers {group.group_name}": group.template for group in cluster.worker_group_specs}
    for place, template in templates.items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"} | template["metadata"]}
        kubernetes_validate.validate(pod | {"spec": template["spec"]}, KUBERNETES, strict=True)
        yield place, template


def _pod_problems(pod: dict[str, Any], known: set[str], claims: set[str]) -> Iterator[str]:
    spec = pod["spec"]
    if pod["metadata"]["labels"].get("app.kubernetes.io/part-of") != "streammm":
        yield "no label by which the network policies know it"
    context = spec.get("securityContext", {})
    if not (context.get("runAsNonRoot") and context.get("runAsUser")):
        yield "may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for name in _referred([*volumes.values(), *spec["containers"]]):
        if name not in known:
            yield f"there is no {name}"
    for container in spec["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes.keys() | claims:
                yield f"there is no volume {mount['name']}"
                return
        yield from _container_problems(container, volumes)


def _container_problems(container: dict[str, Any], volumes: dict[str, Any]) -> Iterator[str]:
    guards = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    if container.get("securityContext") != guards:
        yield f"securityContext is not {guards}"
    if not re.fullmatch(r"streammm:(cpu|cuda)|[\w./-]+:v?\d+\.\d+\.\d+", container["image"]):
        yield f"the image {container['image']} has no version of three numbers"
    resources = container.get("resources", {})
    memory = resources.get("limits", {}).get("memory")
    if memory is None or memory != resources.get("requests", {}).get("memory"):
        yield "memory that is requested is not its limit: it could be taken away"
        return
    for mount in container.get("volumeMounts", []):
        if mount["mountPath"] == "/media" and not mount.get("readOnly"):
            yield "can write to the media"
        if mount["mountPath"] == _SHM:
            empty = volumes[mount["name"]]["emptyDir"]
            size = size_bytes(empty["sizeLimit"])
            if empty.get("medium") != "Memory" or size > size_bytes(memory) // 2:
                yield f"{_SHM} is not in memory, or more than half of it"


def _referred(node: Any) -> Iterator[str]:
    """The names of secrets, claims and maps that are used."""
    if isinstance(node, list):
        for entry in node:
            yield from _referred(entry)
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("secretRef", "secretKeyRef", "configMap", "configMapRef"):
                yield value["name"]
            elif key == "persistentVolumeClaim":
                yield value["claimName"]
            else:
                yield from _referred(value)


def _ray_problems(root: Path, document: dict[str, Any]) -> Iterator[str]:
    spec = document["spec"].get("rayClusterSpec", document["spec"])
    pinned = re.search(r"^ray==(.+)$", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if pinned is None or spec["rayVersion"] != pinned[1]:
        yield f"rayVersion {spec['rayVersion']} is not that of constraints.txt"
    if spec["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
        yield "the head would do work"
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        shm = next((v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == "shm"), "0")
        if int(group["rayStartParams"]["object-store-memory"]) > size_bytes(shm):
            yield f"the object store of {group.get('groupName', 'the head')} does not fit into /dev/shm"
    if document["kind"] == "RayJob":
        yield from _entrypoint_problems(document["spec"]["entrypoint"], spec)


def _entrypoint_problems(entrypoint: str, cluster: dict[str, Any]) -> Iterator[str]:
    words = shlex.split(entrypoint)
    settings = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
    try:
        config = load(None, settings)
    except ConfigError as error:
        yield str(error)
        return
    group = cluster["workerGroupSpecs"][0]
    cpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    if (config.ray.shards, config.engine.decoders) != (group["maxReplicas"], cpus):
        yield f"ray.shards and engine.decoders do not ask for {group['maxReplicas']} nodes of {cpus} CPUs"
    head = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
    mounted = {mount["mountPath"] for mount in head["volumeMounts"]}
    for word in words:
        place = re.match(r"/(?:media|runs)\b", word)
        if place and place[0] not in mounted:
            yield f"the entry point uses {place[0]}, where nothing is mounted"


def size_bytes(quantity: str) -> int:
    """A quantity of memory as Kubernetes writes it: 640Mi, 2Gi, 1048576."""
    match = re.fullmatch(r"(\d+)([KMGT]i)?", quantity)
    if match is None:
        raise ValueError(f"not a quantity of memory: {quantity!r}")
    return int(match[1]) * _UNITS[match[2] or ""]
