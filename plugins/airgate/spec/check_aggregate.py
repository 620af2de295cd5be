"""Strict mode's look at an integration of several upstream calls."""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from airgate.policy.signed_identity import HEADER
from airgate.spec.check_extension import shape_problems
from airgate.spec.check_templates import Surroundings, path_problems, template_problems
from airgate.spec.extension import Aggregate, Branch
from airgate.spec.problem import Path, Problem, at

TYPE = "aggregate"

_NOT_FORWARDED = frozenset(
    {"host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"expect", "content-length", "content-type", "accept-encoding"}
)


def aggregate_problems(
    here: Path,
    integration: object,
    route: Mapping[str, object],
    file: Mapping[str, object],
    aliases: Collection[object],
) -> Iterator[Problem]:
    """The problems of one aggregation; `aliases` are the servers of the file."""
    found = list(shape_problems(here, integration, Aggregate))
    if found:
        yield from found
        return
    around = Surroundings.of(route, file)
    for name, branch in msgspec.convert(integration, Aggregate).branches.items():
        yield from _branch_problems((*here, "branches", name), branch, around, aliases)


def _branch_problems(
    here: Path, branch: Branch, around: Surroundings, aliases: Collection[object]
) -> Iterator[Problem]:
    if branch.server not in aliases:
        known = ", ".join(repr(alias) for alias in aliases) or "none yet"
        yield at(
            (*here, "server"), f"no server has the alias {branch.server!r}", f"Add it to servers; there are: {known}"
        )
    yield from path_problems((*here, "path"), branch.path, around)
    yield from template_problems((*here, "mapping", "headers"), dict(branch.mapping.headers), around)
    yield from template_problems((*here, "mapping", "query"), dict(branch.mapping.query), around)
    for position, name in enumerate(branch.forward):
        if name.lower() in _NOT_FORWARDED:
            yield at((*here, "forward", position), f"the header {name!r} belongs to one connection", "Remove it")
        elif name.lower() == HEADER:
            what = f"the header {name!r} is the gateway's signed word, which no client has"
            yield at((*here, "forward", position), what, "Remove it")
    for name in branch.mapping.headers:
        if name.lower() in _NOT_FORWARDED or name.lower() == HEADER:
            where = (*here, "mapping", "headers", name)
            yield at(where, f"the header {name!r} is set by the edge itself", "Remove it")
    if not isinstance(branch.body, msgspec.UnsetType):
        if branch.method != "POST":
            yield at((*here, "body"), f"a {branch.method} call has no body", "Remove it, or set method to POST")
        yield from template_problems((*here, "body"), branch.body, around)
    if isinstance(branch.select, str):
        yield from _select_problems((*here, "select"), branch.select)


def _select_problems(here: Path, expression: str) -> Iterator[Problem]:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(expression)
    except JMESPathError:
        yield at(here, f"{expression!r} is no JMESPath expression", "Write one such as data, or items[].name")
