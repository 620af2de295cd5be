"""Everything for which strict mode refuses a file, also what can be told only with the files next to it."""

from collections.abc import Mapping
from pathlib import Path

from airgate.edge.route_policies import CannotServe, plan
from airgate.spec import check
from airgate.spec.problem import Problem


def problems(text: str, environment: Mapping[str, str], folder: Path | None) -> list[Problem]:
    """All problems of a file; an empty list means that strict mode serves it.

    Args:
        text: The file.
        environment: The variables.
        folder: Where the file stands, with the schemas and documents that it names.
    """
    found = check.problems(text, environment, policies=True)
    if not found:
        try:
            plan(text, environment, folder)
        except CannotServe as missing:
            return missing.problems
    return found
