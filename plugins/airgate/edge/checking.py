"""Everything for which strict mode refuses a file, also what can be told only with the files next to it."""

from collections.abc import Mapping
from pathlib import Path

from airgate.edge.named_files import NamedFiles
from airgate.edge.route_policies import CannotServe, plan
from airgate.edge.service_loading import stand_in_problems
from airgate.spec import check
from airgate.spec.problem import Problem


def problems(
    text: str,
    environment: Mapping[str, str],
    folder: Path | None,
    files: NamedFiles | None = None,
    stand_ins: Path | None = None,
) -> list[Problem]:
    """All problems of a file; an empty list means that strict mode serves it.

    Args:
        text: The file.
        environment: The variables.
        folder: Where the file stands, with the schemas and documents that it names.
        files: Notes which of them are read.
        stand_ins: Folder with the modules that run in place of services; they are imported to be looked at.
    """
    found = check.problems(text, environment, policies=True)
    if not found:
        try:
            plan(text, environment, folder, files=files)
        except CannotServe as missing:
            return missing.problems
        return stand_in_problems(text, environment, stand_ins)
    return found
