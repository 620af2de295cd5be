"""Calls of stand-ins: what they are told, how they are run, what is answered with what they return."""

import asyncio
import inspect
import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from airgate.edge.service_results import BadResult, answered, stopped_by
from airgate.edge.service_threads import ThreadFailed, Threads
from airgate.edge.services import Context, Headers, MatchedPath, Request
from airgate.edge.stand_ins import Missing, StandIn, StandIns
from airgate.policy.redaction import printable, redact_text
from airgate.spec.answer import INTERNAL_ERROR, Answer, problem
from airgate.spec.config import Mode
from airgate.spec.extension_paths import parameters
from airgate.spec.gateway import Chosen
from airgate.spec.problem import Problem
from airgate.spec.routing import WILDCARD, Pattern
from airgate.spec.services import Function, ServiceCall

_log = logging.getLogger("airgate.edge")

_FAILED = problem(500, "The service of this route failed.", with_cors=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as stand-ins see it: URL, headers and the whole body; its route; the claims of its token."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    chosen: Chosen
    claims: Mapping[str, object] | None


class _Failed(Exception):
    """There is no result; why stands in the log."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a file tells all its stand-ins: variables, its own JSON text, and what must not get into the log."""

    env: Mapping[str, str]
    config: str
    secrets: Sequence[str] = ()


class ServiceCalls:
    """Runs the stand-ins of a file.

    Args:
        stand_ins: Those of all calls that its routes make.
        told: What each is told besides the request.
        mode: Which answers are given.
    """

    def __init__(self, stand_ins: StandIns, told: Told, mode: Mode) -> None:
        self._stand_ins = stand_ins
        self._env = MappingProxyType(dict(told.env))
        self._told = told
        self._mode = mode
        self._threads = Threads()
        self._known_missing: set[ServiceCall] = set()
        self._failure = _FAILED if mode == "strict" else INTERNAL_ERROR

    def problems(self) -> list[Problem]:
        """What is missing, once for each place of the file."""
        return self._stand_ins.problems()

    def missing(self, call: ServiceCall) -> Missing | None:
        """Why a call would fail; None when it has a stand-in."""
        found = self._stand_ins[call]
        return found if isinstance(found, Missing) else None

    def close(self) -> None:
        """Let go of the modules."""
        self._stand_ins.close()

    async def answer(self, call: ServiceCall, asked: Asked) -> Answer:
        """The answer of a service, or of a function of a bound one."""
        try:
            return answered(await self._result(call, asked))
        except _Failed:
            return self._failure
        except BadResult as bad:
            _log.error("%s has no answer: %s", call, bad)
        except RecursionError:
            _log.error("%s has no answer: its result holds itself, or is nested too deeply", call)
        return self._failure

    async def before(self, hook: Function, asked: Asked) -> Answer | None:
        """The answer with which a hook before a route stops a request; None when it lets it through."""
        try:
            return stopped_by(await self._result(hook, asked), self._mode)
        except _Failed:
            return self._failure

    async def after(self, hook: Function, asked: Asked) -> Answer | None:
        """The answer when a hook after a sign-in fails. What it returns is not looked at, as in the gateway."""
        try:
            await self._result(hook, asked)
        except _Failed:
            return self._failure
        return None

    async def _result(self, call: ServiceCall, asked: Asked) -> object:
        """What a stand-in returns.

        Raises:
            _Failed: there is none, or it raised.
        """
        found = self._stand_ins[call]
        if isinstance(found, Missing):
            if call not in self._known_missing:  # once is enough
                self._known_missing.add(call)
                _log.error("%s cannot be called: %s. %s.", call, found.what, found.cure)
            raise _Failed
        try:
            return await self._run(found, asked)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._tell(call, cancelled)
        except ThreadFailed as failed:
            self._tell(call, failed.__cause__ or failed)
        except (Exception, SystemExit) as error:
            self._tell(call, error)
        raise _Failed

    async def _run(self, stand_in: StandIn, asked: Asked) -> object:
        request = Request(asked.method, asked.url, Headers(asked.headers), asked.body)
        context = Context(self._told.config, asked.url, dict(asked.claims or {}), _matched(asked.chosen))
        if stand_in.blocking:
            result: Any = await self._threads.run(lambda: stand_in.call(request, self._env, context))
        else:
            result = stand_in.call(request, self._env, context)
        return await result if inspect.isawaitable(result) else result

    def _tell(self, call: ServiceCall, error: BaseException) -> None:
        lines = "".join(traceback.format_exception(error))
        _log.error("%s failed:\n%s", call, printable(redact_text(lines, self._told.secrets)))


def _matched(chosen: Chosen) -> MatchedPath:
    route = chosen.route
    found = parameters(route.path, chosen.path)
    inexact, count, wild = Pattern.of(route.path).rank(len(chosen.path.split("/")))
    return MatchedPath(
        position=route.position,
        path=route.path,
        parameters={name[1:-1]: value for name, value in found.items() if name != WILDCARD},
        exact=not inexact,
        count=-count,
        wildcard=wild,
    )
