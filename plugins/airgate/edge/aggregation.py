"""One request, several upstream calls at the same time, one answer. The calls to make and the answer are pure."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from airgate.edge.connection import CallFailed
from airgate.edge.json_body import BadBody, parse_json, write_json
from airgate.edge.refusal import refusal
from airgate.edge.whole_call import Call, HttpCalls, WholeAnswer
from airgate.openapi.styles import is_json
from airgate.spec.answer import JSON_TYPE, Answer
from airgate.spec.extension_paths import fill
from airgate.spec.extension_references import Sources, filled
from airgate.spec.javascript import to_text
from airgate.spec.target import upstream_path
from airgate.spec.url import Origin, serialise_form

STATUS = "_status"
"""Where the merged answer says what became of each branch; no branch can have this name."""

_PASSED_ON = (404, 410)
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_CONTROL = frozenset(map(chr, [*range(0x20), 0x7F])) - {"\t"}


class Selection(Protocol):
    """A compiled JMESPath expression."""

    def search(self, value: object) -> object:
        """The part of a value that it names, None without one."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One compiled branch; templates are those of `airgate.spec.extension_references`."""

    name: str
    server: str
    origin: Origin
    path: str
    method: str
    required: bool
    timeout: float
    headers: Mapping[str, object]
    query: Mapping[str, object]
    forward: frozenset[str]
    body: object
    """`msgspec.UNSET` for none."""
    select: Selection | None
    limit: int

    def call(self, sources: Sources) -> Call:
        """The call for a request.

        Raises:
            BadBody: a mapped value cannot stand in a header (400).
        """
        headers = {"accept": "application/json"}
        for name in sorted(self.forward):
            value = sources.request.header(name)
            if value is not None:
                headers[name] = value
        headers |= {name: _header_value(name, value) for name, value in _resolved(self.headers, sources).items()}
        body = None
        if self.body is not msgspec.UNSET:
            headers["content-type"] = "application/json"
            body = write_json(filled(self.body, sources))
        return Call(
            method=self.method,
            origin=self.origin,
            path=upstream_path(self.origin, None, fill(self.path, sources.parameters)),
            query=serialise_form(list(_resolved(self.query, sources).items())),
            headers=list(headers.items()),
            body=body,
            timeout=self.timeout,
            limit=self.limit,
        )


@dataclass(frozen=True, slots=True)
class Came:
    """What became of one branch: the status to tell, the value, and in words what went wrong if something did."""

    branch: Branch
    status: int
    value: object = None
    failure: str | None = None


async def gathered(branches: Sequence[Branch], sources: Sources, calls: HttpCalls) -> list[Came]:
    """Make all calls at once and wait for them; the first failure of a required branch ends those still under way.

    Cancelled, it ends all calls.

    Raises:
        BadBody: a mapped value cannot stand in a header; nothing was called.
    """
    made = [branch.call(sources) for branch in branches]
    tasks = [asyncio.ensure_future(_one(branch, call, calls)) for branch, call in zip(branches, made, strict=True)]
    waiting = set(tasks)
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if any(came.branch.required and came.failure for came in (task.result() for task in done)):
                break
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [
        _ended_early(branch) if task.cancelled() else task.result()
        for branch, task in zip(branches, tasks, strict=True)
    ]


def merged(came: Sequence[Came]) -> Answer:
    """The answer of an aggregation.

    All required branches answered: 200 with each branch's value by name, null for one that failed, and `_status`. Else
    problem details: 404 or 410 when that is what the required branch said, 504 when its time ran out, 502 otherwise.
    """
    told = {each.branch.name: _told(each) for each in came}
    failed = next((each for each in came if each.branch.required and each.failure), None)
    if failed is None:
        values = {each.branch.name: each.value for each in came}
        return Answer(200, (JSON_TYPE,), write_json({**values, STATUS: told}))
    status = failed.status if failed.status in (*_PASSED_ON, 504) else 502
    detail = f"The server {failed.branch.server!r} of the branch {failed.branch.name!r} {failed.failure}."
    return refusal(status, detail, members={"branches": told})


async def _one(branch: Branch, call: Call, calls: HttpCalls) -> Came:
    try:
        answer = await calls.call(call)
    except CallFailed as failed:
        return Came(branch, failed.status, failure=failed.what)
    return read_answer(branch, answer)


def read_answer(branch: Branch, answer: WholeAnswer) -> Came:
    """What an answer means for its branch. A redirect is no answer, and neither is anything but JSON."""
    if not answer.succeeded:
        return Came(branch, answer.status, failure=f"answered with the status {answer.status}")
    if not answer.body:
        return Came(branch, answer.status)
    if not is_json(answer.headers.get("content-type", "")):
        return Came(branch, 502, failure="did not answer with JSON")
    try:
        value = parse_json(answer.body)
    except BadBody:
        return Came(branch, 502, failure="answered with JSON that cannot be read")
    if branch.select is not None:
        try:
            value = branch.select.search(value)
        except ValueError:  # a function of the expression got what it cannot take
            return Came(branch, 502, failure="answered with what its select cannot be applied to")
    return Came(branch, answer.status, value)


def _told(came: Came) -> dict[str, object]:
    return {"status": came.status} if came.failure is None else {"status": came.status, "detail": came.failure}


def _ended_early(branch: Branch) -> Came:
    return Came(branch, 503, failure="was not waited for")


def _resolved(templates: Mapping[str, object], sources: Sources) -> dict[str, str]:
    found = filled(dict(templates), sources)
    assert isinstance(found, dict)
    return {name: to_text(value) for name, value in found.items()}


def _header_value(name: str, value: str) -> str:
    value = value.strip()
    if _CONTROL.intersection(value) or _HALF_CHARACTER.search(value):
        raise BadBody(400, f"What the request gives for the header {name!r} has characters that no header may have.")
    return value
