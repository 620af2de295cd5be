"""Reads the requests of a declaration and the expressions over their answers."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from airgate.jobs.declaration import Exchange
from airgate.jobs.placeholders import places
from airgate.jobs.status_document import compiled
from airgate.policy.idempotency import SAFE_METHODS
from airgate.policy.redaction import is_secret_name

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST = ("method", "path", "query", "json", "headers", "expect", "reads")
"""Keys of a request."""


class RequestReader:
    """Reads requests and collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def wrong(self, at: str, what: str) -> None:
        """Take note of a problem at a place."""
        self.problems.append(f"{at}: {what}")

    def known(self, at: str, given: Mapping[str, Any], names: Collection[str]) -> None:
        """Take note of keys that are none."""
        for key in given:
            if key in names:
                continue
            place = f"{at}.{key}" if at else str(key)
            near = difflib.get_close_matches(str(key), names, n=1)
            cure = f"did you mean {near[0]}?" if near else f"known here are {', '.join(names)}"
            self.wrong(place, f"it is not known; {cure}")

    def look_at(self, at: str, section: Mapping[str, Any]) -> Exchange:
        """A request that must have no effect."""
        exchange = self.exchange(at, section, "GET")
        if exchange.method not in SAFE_METHODS and not exchange.reads:
            self.wrong(
                f"{at}.method",
                f"a look must change nothing, and {exchange.method} may; write reads: true if this one only asks",
            )
        return exchange

    def exchange(self, at: str, section: Mapping[str, Any], method: str) -> Exchange:
        """A request; its method where it names none."""
        verb = section.get("method", method)
        if not isinstance(verb, str) or verb.upper() not in _METHODS:
            self.wrong(f"{at}.method", f"it must be one of {', '.join(_METHODS)}, not {verb!r}")
            verb = method
        reads = section.get("reads", False)
        if not isinstance(reads, bool):
            self.wrong(f"{at}.reads", f"it must be true or false, not {reads!r}")
        path = self._path(at, section) if section else ""
        query, headers = (self._pairs(f"{at}.{name}", section.get(name)) for name in ("query", "headers"))
        exchange = Exchange(
            at, verb.upper(), path, query, section.get("json"), headers, self._expect(at, section), reads is True
        )
        for place, text in _texts(section.get("json"), f"{at}.json"):
            self.no_template(place, text)
        return exchange

    def _path(self, at: str, section: Mapping[str, Any]) -> str:
        path = section.get("path")
        if not isinstance(path, str) or not path.startswith("/") or path.startswith("//"):
            told = "it is missing" if path is None else f"{path!r} is none"
            self.wrong(f"{at}.path", f"{told}; write a path below the gateway that begins with /, such as /jobs/{{id}}")
            return "/"
        bare = path
        for _, name in places(path, ""):
            bare = bare.replace(f"{{{name}}}", "")
        if set(bare) & set("{}#?"):
            self.wrong(
                f"{at}.path", f"{path!r} must be a bare path; parameters belong under query, places are {{name}}"
            )
        self.no_template(f"{at}.path", path)
        return path

    def _pairs(self, at: str, given: Any) -> Mapping[str, Any] | None:
        if given is None:
            return None
        if not isinstance(given, Mapping):
            self.wrong(at, f"it must be an object of names and values, not a {kind_of(given)}")
            return None
        for name, value in given.items():
            place = f"{at}.{name}"
            if is_secret_name(str(name)) and value != "{key}":
                self.wrong(place, "a credential belongs in the connection, not in a declaration; remove it")
            if isinstance(value, Mapping) or (at.endswith("headers") and not isinstance(value, str)):
                self.wrong(place, f"it must be a text, not a {kind_of(value)}")
            self.no_template(place, value)
        return given

    def _expect(self, at: str, section: Mapping[str, Any]) -> tuple[int, ...] | None:
        given = section.get("expect")
        if given is None:
            return None
        statuses = given if isinstance(given, list | tuple) else [given]
        if not statuses or not all(type(each) is int and 100 <= each <= 599 for each in statuses):
            self.wrong(f"{at}.expect", f"it must be a status or a list of them, such as [200, 202], not {given!r}")
            return None
        return tuple(statuses)

    def pick(self, at: str, given: Any) -> str:
        """A JMESPath expression; empty without one."""
        if given is None:
            return ""
        if not isinstance(given, str) or not given:
            self.wrong(at, f"it must be a JMESPath expression, not {given!r}")
            return ""
        try:
            compiled(at, given)
        except ValueError as error:
            self.problems.append(str(error))
        return given

    def no_template(self, at: str, value: Any) -> None:
        """Take note of what looks as if Airflow were to render it."""
        if isinstance(value, str) and ("{{" in value or "{%" in value):
            self.wrong(
                at, "templates are not rendered here; write a place, {name}, and give values={'name': '{{ … }}'}"
            )


def _texts(value: Any, at: str) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(at, value)]
    if isinstance(value, Mapping):
        return [found for key, each in value.items() for found in _texts(each, f"{at}.{key}")]
    if isinstance(value, list | tuple):
        return [found for position, each in enumerate(value) for found in _texts(each, f"{at}[{position}]")]
    return []


def kind_of(value: Any) -> str:
    """What a value of JSON is called."""
    names = {type(None): "null", str: "text", bool: "truth value", int: "number", float: "number", list: "list"}
    return names.get(type(value), type(value).__name__)
