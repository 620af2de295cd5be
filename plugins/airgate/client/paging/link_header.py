"""Web links in the header of an answer (RFC 8288)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(
    r"""[ \t]*;[ \t]*(?:([^\s"(),/:;<=>?@\[\]{}]+)[ \t]*(?:=[ \t]*("(?:[^"\\]|\\.)*"|[^\s",;]*))?)?"""
)
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class WebLink:
    """One link of a Link header."""

    target: str
    """As it stands there, often relative."""
    relations: frozenset[str]
    """In lower case, such as ``next``."""
    elsewhere: bool
    """Whether it is a link of something else than the answer (``anchor``)."""


def parse_links(value: str) -> Iterator[WebLink]:
    """The links of a Link header; several headers are joined by commas.

    By RFC 8288, appendix B.2 and B.3: commas and semicolons within quotes and targets belong to them, the first ``rel``
    of a link counts, names are compared without regard to case. What is no link ends the reading.
    """
    at = 0
    while match := _TARGET.match(value, at):
        target, at = match[1], match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(value, at):
            at = parameter.end()
            if parameter[1]:
                parameters.setdefault(parameter[1].lower(), _unquoted(parameter[2] or ""))
        relations = frozenset(parameters.get("rel", "").lower().split())
        yield WebLink(target.strip(), relations, "anchor" in parameters)
        rest = re.compile(r"[^,]*").match(value, at)
        at = rest.end() if rest else at


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1]) if text.startswith('"') else text
