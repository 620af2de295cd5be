"""What of a poll would lie in a trigger's row, where Airflow keeps it in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from airgate.hooks.call import Call
from airgate.policy.redaction import is_secret_name


def refuse_exposed(call: Call) -> None:
    """Refuse a call with something in it that its name says is secret; also one that an operation was made into.

    Raises:
        ValueError: Naming the argument and the name, not the value.
    """
    for argument, name in _named(call):
        if is_secret_name(name):
            raise ValueError(
                f"{argument}: {name} may be secret, and Airflow keeps what a trigger is given in plain text; put it "
                "into the connection, or leave deferrable out"
            )


def _named(call: Call) -> Iterator[tuple[str, str]]:
    query = call.path.partition("?")[2].partition("#")[0]
    yield from (("path", name) for name, _ in parse_qsl(query, keep_blank_values=True))
    given: dict[str, Any] = {"query": call.params, "headers": call.headers}
    for argument, values in given.items():
        if isinstance(values, Mapping):  # not so while it is still a template
            yield from ((argument, str(name)) for name in values)
