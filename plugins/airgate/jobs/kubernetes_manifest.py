"""The manifest of a Kubernetes Job: what is asked for, under a name and marks that follow from a key.

Checked against the batch/v1 API of Kubernetes 1.37 and its rules for names and labels.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

KEY_LABEL = "airgate.dev/key"
SPEC_ANNOTATION = "airgate.dev/spec"
LONGEST_NAME = 50
"""Characters, so that a dash and 12 digits still fit into the 63 of a label."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # RFC 1123
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")


def label_problem(field: str, value: str, longest: int) -> str | None:
    """What is wrong with a name, None when nothing is, or when it is still a template."""
    if "{{" in value or (len(value) <= longest and _LABEL.fullmatch(value)):
        return None
    return f"{field} must be at most {longest} lower-case letters, digits and '-' (RFC 1123), not {value!r}"


def env_problem(env: Any) -> str | None:
    """What is wrong with environment variables, None when nothing is."""
    if not isinstance(env, Mapping):
        return "env must be a dict of names and values"
    for name, value in env.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            return f"env: {name!r} is no name of a variable"
        if not isinstance(value, (str, int, float, Mapping)):
            kind = type(value).__name__
            return f"env: {name} must be text, a number or a valueFrom such as {{'secretKeyRef': …}}, not a {kind}"
    return None


def manifest_problem(manifest: Any, namespace: str) -> str | None:
    """What keeps a manifest from being that of a Job under a name of ours, None when nothing does."""
    if not isinstance(manifest, Mapping):
        return f"manifest must be a dict, not a {type(manifest).__name__}; load YAML with yaml.safe_load"
    if manifest.get("kind", "Job") != "Job" or manifest.get("apiVersion", "batch/v1") != "batch/v1":
        return "manifest must be a Job of batch/v1; for another kind write a protocol of your own"
    metadata, pod = part(manifest, "metadata"), part(manifest, "spec", "template", "spec")
    if metadata.get("generateName"):
        return "manifest: metadata.generateName would name each submission anew; give metadata.name, or name"
    own = metadata.get("namespace", namespace)
    if own != namespace and "{{" not in f"{own}{namespace}":
        return f"manifest: metadata.namespace is {own!r}, and namespace {namespace!r}; give the same"
    if not pod.get("containers"):
        return "manifest: spec.template.spec.containers is missing"
    if pod.get("restartPolicy") not in {"Never", "OnFailure"}:
        return (
            "manifest: spec.template.spec.restartPolicy must be Never or OnFailure, Kubernetes takes no other for a Job"
        )
    for name in ("ttlSecondsAfterFinished", "completions"):
        if not isinstance(manifest["spec"].get(name, 0), int):
            return f"manifest: spec.{name} must be a number"
    return None


def part(manifest: Any, *path: str) -> Mapping[str, Any]:
    """The object at a path; an empty one where there is none."""
    for name in path:
        manifest = manifest.get(name) if isinstance(manifest, Mapping) else None
    return manifest if isinstance(manifest, Mapping) else {}


def of_image(image: str, command: Sequence[str], args: Sequence[str], env: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a Job with one container, named ``main``, that is run once."""
    container: dict[str, Any] = {"name": "main", "image": image}
    if command:
        container["command"] = [str(each) for each in command]
    if args:
        container["args"] = [str(each) for each in args]
    if env:
        container["env"] = [_variable(name, value) for name, value in env.items()]
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}


def marked(manifest: Mapping[str, Any], name: str, namespace: str, key: str) -> dict[str, Any]:
    """A manifest under the name and the marks of a key; its own is left as it was.

    Args:
        manifest: Of a Job.
        name: What the Job's name begins with.
        namespace: Where it is to run.
        key: Of the submission.
    """
    job = copy.deepcopy(dict(manifest))
    job["apiVersion"], job["kind"] = "batch/v1", "Job"
    metadata = job["metadata"] = dict(job.get("metadata") or {})
    metadata["name"], metadata["namespace"] = job_name(name, key), namespace
    template = job["spec"]["template"]
    template["metadata"] = dict(template.get("metadata") or {})
    for each in (metadata, template["metadata"]):  # pods too, so that those of many jobs are found at once
        each["labels"] = {**(each.get("labels") or {}), KEY_LABEL: label_of(key)}
    spec = hashlib.sha256(json.dumps(job, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    metadata["annotations"] = {**(metadata.get("annotations") or {}), SPEC_ANNOTATION: spec}
    return job


def job_name(name: str, key: str) -> str:
    """The Job's name: readable in front, unique behind."""
    return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def label_of(key: str) -> str:
    """The key as the value of a label: itself where it can be one."""
    return key if _LABEL_VALUE.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()[:63]


def _variable(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {"name": name, "valueFrom": dict(value)}
    return {"name": name, "value": str(value).lower() if isinstance(value, bool) else str(value)}
