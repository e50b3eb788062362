"""What is used of KubeRay's RayCluster and RayJob, and a check by its own schemas: python docker/kuberay.py CRDS...

No package brings these schemas, so what is used of them is written down here, to the types, and every test holds the
manifests to it. A cluster or a release of KubeRay has the schemas themselves:

    kubectl get crd rayclusters.ray.io rayjobs.ray.io --output yaml > crds.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jsonschema
import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt
from pydantic.alias_generators import to_camel


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Auth(_Strict):
    """Who may join: whoever has the token in a secret."""

    mode: Literal["token"]
    secret_name: str


class Group(_Strict):
    """Pods that are alike."""

    ray_start_params: dict[str, str]
    template: dict[str, Any]


class Workers(Group):
    """A group of workers."""

    group_name: str
    replicas: int
    min_replicas: int
    max_replicas: PositiveInt


class FaultTolerance(_Strict):
    """Where the head keeps what it knows."""

    redis_address: str
    redis_password: dict[str, Any]


class RayCluster(_Strict):
    """The spec of a RayCluster, and of that in a RayJob."""

    ray_version: str
    auth_options: Auth
    enable_in_tree_autoscaling: bool = False
    autoscaler_options: dict[str, Any] | None = None
    gcs_fault_tolerance_options: FaultTolerance | None = None
    head_group_spec: Group
    worker_group_specs: list[Workers]


class RayJob(_Strict):
    """The spec of a RayJob."""

    entrypoint: str
    backoff_limit: PositiveInt
    shutdown_after_job_finishes: Literal[True]
    ttl_seconds_after_finished: PositiveInt
    submission_mode: Literal["K8sJobMode"]
    submitter_pod_template: dict[str, Any]
    ray_cluster_spec: RayCluster


def problems(manifests: Path, schemas: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Where the manifests of a directory differ from the schemas of their kinds; unknown fields are mistakes."""
    for path in sorted(manifests.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document["kind"] in schemas:
                validator = jsonschema.Draft7Validator(schemas[document["kind"]])
                for error in validator.iter_errors(document):
                    yield f"{path.name}: {'.'.join(map(str, error.absolute_path))}: {error.message}"


def schemas_of(text: str) -> dict[str, dict[str, Any]]:
    """The schemas of version v1 in custom resource definitions, by the kind that they are of."""
    found = {}
    for document in yaml.safe_load_all(text):
        for definition in document.get("items", [document]):
            for version in definition["spec"]["versions"]:
                if version["name"] == "v1":
                    schema = _closed(version["schema"]["openAPIV3Schema"])
                    schema["properties"]["metadata"] = {"type": "object"}  # the definition leaves it open
                    found[definition["spec"]["names"]["kind"]] = schema
    return found


def _closed(schema: Any) -> Any:
    """A schema in which every object has the properties that are named and no others, as a server takes it."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {key: _closed(value) for key, value in schema.items()}
    if "properties" in schema and "type" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def main() -> int:
    """Checks; returns the exit status."""
    schemas: dict[str, dict[str, Any]] = {}
    for name in sys.argv[1:]:
        schemas |= schemas_of(Path(name).read_text(encoding="utf-8"))
    if not {"RayCluster", "RayJob"} <= schemas.keys():
        sys.stderr.write("usage: python docker/kuberay.py CRDS..., with those of RayCluster and RayJob\n")
        return 2
    found = list(problems(Path(__file__).parent / "kubernetes", schemas))
    sys.stderr.writelines(f"problem: {problem}\n" for problem in found)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
