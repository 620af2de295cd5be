"""A gateway that answers as it is told, behind an ordinary Airflow connection."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from airgate.client import clock
from airgate.client.auth.token_store import forget_tokens
from airgate.client.effects import Reply, Send
from airgate.client.gateway import Gateway
from airgate.client.message import Request
from airgate.client.stand_in import standing_in
from airgate.policy.outcome import NotSent, Unanswered
from airgate.testing.answers import Answer, Fault, Scripted, answer_of
from airgate.testing.recorded import RecordedRequest, body_bytes, record
from airgate.testing.time import InstantTime, instant_time
from airgate.testing.transport import received, refuse_unsendable


class UnexpectedRequest(AssertionError):
    """A request for which no answer was scripted."""


class Route:
    """The scripted answers of one method and path; made by ``FakeGateway.on``."""

    def __init__(
        self,
        method: str,
        path: str,
        answers: Sequence[Scripted],
        *,
        params: Mapping[str, Any] | None = None,
        repeat: bool = False,
    ) -> None:
        if not answers:
            raise ValueError(f"{method} {path}: give at least one answer")
        if "?" in path:
            raise ValueError(f"{method} {path}: a query is matched by params, not as a part of the path")
        self.method = method.upper()
        self.path = path
        self.requests: list[RecordedRequest] = []
        """The requests answered here, in order."""
        self._answers = list(answers)
        self._repeat = repeat
        self._params = {name: [str(each) for each in _several(value)] for name, value in (params or {}).items()}
        parts = re.split(r"\{(\w+)\}", path)
        places = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>[^/]+)" for index, part in enumerate(parts)]
        self._pattern = re.compile("".join(places))

    @property
    def used_up(self) -> bool:
        """Whether every answer was given."""
        return len(self.requests) >= len(self._answers)

    def match(self, request: RecordedRequest) -> dict[str, str] | None:
        """The path parameters of a request that belongs here; None for another one, and when all answers are given."""
        if request.method != self.method or (self.used_up and not self._repeat):
            return None
        found = self._pattern.fullmatch(request.path)
        if found is None or any(request.params.get(name) != values for name, values in self._params.items()):
            return None
        return {name: unquote(value) for name, value in found.groupdict().items()}

    def next_answer(self) -> Scripted:
        """The answer that the next request gets."""
        return self._answers[min(len(self.requests), len(self._answers) - 1)]

    def __str__(self) -> str:
        params = f" with params {self._params}" if self._params else ""
        count = f"{len(self.requests)} of {len(self._answers)}{' or more' if self._repeat else ''} answers used"
        return f"{self.method} {self.path}{params}: {count}"


class FakeGateway:
    """Answers as it is told; what was not scripted fails the test.

    Within its context the connection leads here: hooks, operators and sensors find it as they find any connection, and
    sign, retry, wait and raise as in production, for only the wire and the clock are replaced. Waits are instant and
    written down. It works within one process: under ``operator.execute`` and ``dag.test()``, not with an executor.

    Args:
        gateway_conn_id: The connection to take the place of; an existing one is hidden meanwhile.
        login: As in a connection.
        password: As in a connection; needed with every ``auth`` but ``none``.
        extra: The connection's other fields, such as ``{"attempts": 2}``.
    """

    def __init__(
        self,
        gateway_conn_id: str = "gateway_default",
        *,
        login: str | None = None,
        password: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.gateway_conn_id = gateway_conn_id
        self.base_url = f"https://{re.sub('[^a-z0-9]+', '-', gateway_conn_id.lower()).strip('-')}.test"
        self.calls: list[RecordedRequest] = []
        """Every request that arrived, in order; a call that is tried again arrives several times."""
        self.time = InstantTime()
        """The test's clock; ``skip(seconds)`` lets time pass."""
        self._connection = {"login": login, "password": password, "extra": dict(extra or {})}
        self._routes: list[Route] = []
        self._failures: list[AssertionError] = []
        self._lock = threading.Lock()
        self._context = ExitStack()

    @property
    def waits(self) -> list[float]:
        """Seconds of every wait, in order."""
        return self.time.waits

    def on(
        self,
        method: str,
        path: str,
        *answers: Scripted,
        params: Mapping[str, Any] | None = None,
        repeat: bool = False,
    ) -> Route:
        """Script the answers to a method and path.

        Several scripts may fit a request: the one that was written first and has an answer left gives it.

        Args:
            method: HTTP method.
            path: Path below the gateway; ``{name}`` stands for any one segment.
            *answers: Given in turn, once each.
            params: Query parameters that the request must have; others may be there too.
            repeat: Give the last answer again and again.

        Returns:
            The script; its ``requests`` are those that it answered.
        """
        route = Route(method, path, answers, params=params, repeat=repeat)
        with self._lock:
            self._routes.append(route)
        return route

    def assert_all_used(self) -> None:
        """Fail when a scripted answer was not asked for, or a request came that was not scripted."""
        self._raise_failure()
        if unused := [route for route in self._routes if not route.used_up]:
            raise AssertionError("not every scripted answer was asked for:" + _lines(unused))

    def answer(self, effect: Send, gateway: Gateway) -> Reply:
        """Answer in the place of the wire: called by the drivers.

        Raises:
            ValueError: The request cannot be sent, as the wire would say.
        """
        refuse_unsendable(effect.request)
        try:
            answer = self._find(effect.request, gateway)
        except AssertionError as failure:
            # Task code may swallow it, and dag.test() does: the end of the context raises it again.
            self._failures.append(failure)
            raise
        patience = gateway.read_timeout if effect.timeout is None else min(gateway.read_timeout, effect.timeout)
        takes = patience if answer.takes is None else answer.takes
        self.time.skip(min(takes, patience))
        if isinstance(answer, Fault):
            return answer.outcome
        if takes > patience:
            return Unanswered(f"no answer within {patience:g} s")
        return received(answer, effect.request, gateway.max_response_bytes)

    def _find(self, sent: Request, gateway: Gateway) -> Answer | Fault:
        request = record(sent, gateway.base_url)
        with self._lock:
            for route in self._routes:
                values = route.match(request)
                if values is None:
                    continue
                scripted = route.next_answer()
                # A refused connection takes nothing up: a stream that can be read once is still whole.
                refused = isinstance(scripted, Fault) and isinstance(scripted.outcome, NotSent)
                body = b"" if refused and not isinstance(sent.body, bytes) else body_bytes(sent.body)
                request = dataclasses.replace(request, path_params=values, body=body)
                route.requests.append(request)
                self.calls.append(request)
                break
            else:
                self.calls.append(request)
                scripts = _lines(self._routes) or " nothing"
                raise _final(UnexpectedRequest)(f"{request!r} was not expected; scripted is:{scripts}")
        return answer_of(scripted, request)

    def _raise_failure(self) -> None:
        if self._failures:
            failure, self._failures = self._failures[0], []
            raise failure

    def __enter__(self) -> FakeGateway:
        with ExitStack() as context:
            running = clock.current()
            # Two fakes in one test share one time.
            self.time = running if isinstance(running, InstantTime) else context.enter_context(instant_time())
            context.enter_context(_forgetting())
            context.enter_context(standing_in(self.base_url, self))
            connection = {"conn_type": "gateway", "host": self.base_url, **self._connection}
            store = Path(context.enter_context(TemporaryDirectory(prefix="airgate-fake-"))) / "limits.sqlite"
            for name, value in {
                f"AIRFLOW_CONN_{self.gateway_conn_id.upper()}": json.dumps(connection),
                # What a test does to limits and circuits is no business of the developer's own processes.
                "AIRFLOW__AIRGATE__LIMITS_STORE": str(store),
            }.items():
                context.callback(_restore, name, os.environ.get(name))
                os.environ[name] = value
            self._context = context.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.close()
        if error is None:
            self._raise_failure()


def _final(kind: type[AssertionError]) -> type[AssertionError]:
    """The class of error, such that Airflow does not run the task again: the test would wait for its retries."""
    # Nothing here imports Airflow: where it is not loaded, no task runs.
    airflow = sys.modules.get("airflow.sdk.exceptions")
    return kind if airflow is None else type(kind.__name__, (kind, airflow.AirflowFailException), {})


_entered = 0


@contextmanager
def _forgetting() -> Iterator[None]:
    """Begin without what earlier calls of the process have learned, and leave nothing: tokens, pace, budget of retries.

    Of several fakes in one test the outermost one does it.
    """
    global _entered
    if not _entered:
        _forget()
    _entered += 1
    try:
        yield
    finally:
        _entered -= 1
        if not _entered:
            _forget()


def _forget() -> None:
    forget_tokens()
    # Nothing here imports Airflow: where it is not loaded, no hook has called.
    connections = sys.modules.get("airgate.hooks.connection")
    if connections is not None:
        connections.forget_process_state()


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _lines(routes: Sequence[Route]) -> str:
    return "".join(f"\n  {route}" for route in routes)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
