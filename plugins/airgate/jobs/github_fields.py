"""What can be wrong with the fields of a ``GithubWorkflow``, as far as that can be told without GitHub."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_MOST_INPUTS = 25
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_NAME = re.compile(r"[A-Za-z_][\w-]*")


def problem_of(
    *,
    repository: str,
    workflow: str | int,
    ref: str,
    inputs: Mapping[str, Any] | str,
    key_input: str | None,
    run_details: bool,
    accepts: Collection[str],
    base: str,
) -> str | None:
    """The first problem, None when there is none; templates are taken on trust."""
    if not _templated(repository) and not _REPOSITORY.fullmatch(repository):
        return f"repository must be owner/name, not {repository!r}"
    if not str(workflow):
        return "workflow is missing: the file name of the workflow, such as build.yml, or its id"
    if not _templated(workflow) and "/" in str(workflow):
        return f"workflow must be the file's name alone, such as build.yml, not {workflow!r}"
    if not ref:
        return "ref is missing: a branch or a tag"
    if base and not _templated(base) and not base.startswith("/"):
        return f"base must be a path behind the gateway that begins with /, not {base!r}"
    if isinstance(accepts, str) or not accepts:
        return f"accepts must be a list of conclusions such as ['success', 'neutral'], not {accepts!r}"
    return _inputs_problem(inputs, key_input) or _key_problem(inputs, key_input, run_details)


def _inputs_problem(inputs: Mapping[str, Any] | str, key_input: str | None) -> str | None:
    if _templated(inputs):
        return None
    if not isinstance(inputs, Mapping):
        return f"inputs must be an object, not a {type(inputs).__name__}"
    count = len(inputs) + (key_input is not None)
    if count > _MOST_INPUTS:
        return f"inputs: GitHub takes {_MOST_INPUTS} at most, key_input included, not {count}"
    for name, value in inputs.items():
        if not isinstance(value, str | bool | int | float):
            return f"inputs: {name!r} must be a text, a number or a truth value, not a {type(value).__name__}"
    return None


def _key_problem(inputs: Mapping[str, Any] | str, key_input: str | None, run_details: bool) -> str | None:
    if key_input is None:
        if run_details:
            return None
        return "without run_details the run is found by its name: give key_input, an input that the run-name shows"
    if not _NAME.fullmatch(key_input):
        return f"key_input must be the name of an input, not {key_input!r}"
    if key_input in inputs:
        return f"inputs: {key_input!r} is key_input, which takes the submission's key; leave it out"
    return None


def _templated(value: object) -> bool:
    return isinstance(value, str) and "{{" in value
