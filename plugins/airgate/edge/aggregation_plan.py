"""From an `aggregate` integration to its branches."""

from collections.abc import Mapping

import jmespath
from msgspec import UnsetType

from airgate.edge.aggregation import Branch
from airgate.spec import extension
from airgate.spec.extension_references import compiled
from airgate.spec.url import Origin


def plan(settings: extension.Aggregate, servers: Mapping[str, Origin]) -> tuple[Branch, ...]:
    """The branches, in the file's order.

    Args:
        settings: A checked integration.
        servers: Where each alias is.
    """
    return tuple(
        Branch(
            name=name,
            server=branch.server,
            origin=servers[branch.server],
            path=branch.path,
            method=branch.method,
            required=branch.required,
            timeout=branch.timeout,
            headers={key.lower(): compiled(text) for key, text in branch.mapping.headers.items()},
            query={key: compiled(text) for key, text in branch.mapping.query.items()},
            forward=frozenset(key.lower() for key in branch.forward),
            body=branch.body if isinstance(branch.body, UnsetType) else compiled(branch.body),
            select=None if isinstance(branch.select, UnsetType) else jmespath.compile(branch.select),
            limit=branch.limit,
        )
        for name, branch in settings.branches.items()
    )
