"""What a declaration says, once it has been read: requests to fill in, and what to pick out of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airgate.client import clock
from airgate.client.message import Response
from airgate.jobs.job import LONGEST_TEXT, JobState, JobStatus
from airgate.jobs.placeholders import filled, places, value_of
from airgate.jobs.status_document import document_of, percent_of, search, state_of, text_of
from airgate.jobs.talk import Ask
from airgate.policy.redaction import printable
from airgate.policy.retry import retry_after


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with places in it."""

    at: str
    """Where it stands in the declaration."""
    method: str
    path: str
    query: Mapping[str, Any] | None = None
    json: Any = None
    headers: Mapping[str, str] | None = None
    expect: tuple[int, ...] | None = None
    reads: bool = False

    @property
    def places(self) -> list[tuple[str, str]]:
        """Where it has places, and their names."""
        parts = {"path": self.path, "query": self.query, "json": self.json, "headers": self.headers}
        return [found for name, part in parts.items() for found in places(part, f"{self.at}.{name}")]

    def ask(self, base: str, values: Mapping[str, Any], own: Any = None) -> Ask:
        """The request, filled in.

        Args:
            base: Put before its path.
            values: By name.
            own: A body in place of the declared one, or members over those of it; what it holds is sent as it is.

        Raises:
            ValueError: A place has no value.
        """
        names = [name for _, name in places(self.path, "")]
        body = self._filled("json", self.json, values)
        if isinstance(body, Mapping) and isinstance(own, Mapping):
            own = {**body, **own}
        return Ask(
            self.method,
            f"{base.rstrip('/')}{self.path}",
            {name: value_of(name, values, f"{self.at}.path") for name in names},
            self._filled("query", self.query, values),
            body if own is None else own,
            headers=self._filled("headers", self.headers, values),
            expect=self.expect,
            reads=self.reads,
        )

    def _filled(self, name: str, part: Any, values: Mapping[str, Any]) -> Any:
        return None if part is None else filled(part, values, f"{self.at}.{name}")


@dataclass(frozen=True, slots=True)
class Named:
    """Which job an answer is about. JMESPath."""

    at: str
    id: str
    keep: Mapping[str, str] = field(default_factory=dict)
    """What else of the answer is needed later, by name."""

    def read(self, document: Any) -> tuple[str, dict[str, Any]] | None:
        """The job's name and what is kept; None when the answer names no job."""
        found = search(f"{self.at}.id", self.id, document)
        if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
            return None
        kept = {name: search(f"{self.at}.keep.{name}", pick, document) for name, pick in self.keep.items()}
        return str(found), kept


@dataclass(frozen=True, slots=True)
class Look:
    """How a status document is read. JMESPath."""

    state: str
    words: Mapping[str, JobState]
    percent: str = ""
    percent_full: float = 100.0
    phase: str = ""
    message: str = ""
    retry_after: str = ""

    def read(self, document: Any, headers: Mapping[str, str]) -> JobStatus | None:
        """How the job stands; None when the document has no word for it. A word that is not known means running."""
        word = search("status.state", self.state, document)
        if word is None:
            return None
        state = state_of(word, self.words)
        phase = text_of(search("status.phase", self.phase, document))
        if state is None:
            phase = f"{text_of(word)}: {phase}" if phase else text_of(word)
        return JobStatus(
            state or JobState.RUNNING,
            self._percent(document),
            phase,
            text_of(search("status.message", self.message, document)),
            self._retry_after(document, headers),
        )

    def _percent(self, document: Any) -> float | None:
        found = search("status.percent", self.percent, document)
        if self.percent_full != 100.0 and isinstance(found, int | float) and not isinstance(found, bool):
            found = 100.0 * found / self.percent_full
        return percent_of(found)

    def _retry_after(self, document: Any, headers: Mapping[str, str]) -> float | None:
        found = search("status.retry_after", self.retry_after, document)
        if isinstance(found, int | float) and not isinstance(found, bool) and found >= 0:
            return float(found)
        return retry_after(headers, clock.now())


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told of a job that did not succeed. JMESPath over its status document."""

    reason: str = ""
    retryable: str | bool | None = None
    log: Exchange | None = None
    log_pick: str = ""
    """Over the log's answer where there is a request for it, else over the status document; empty for all of it."""

    def told(self, document: Any) -> str:
        """The service's own reason."""
        return text_of(search("failure.reason", self.reason, document))

    def may_pass(self, document: Any, state: JobState) -> bool:
        """Whether another submission may succeed: by the service's word, else for what failed by itself."""
        word: Any = self.retryable
        if isinstance(word, str):
            word = search("failure.retryable", word, document)
        return word if isinstance(word, bool) else state is JobState.FAILED

    def excerpt(self, document: Any, answer: Response | None) -> str:
        """The end of the log.

        Args:
            document: The status document.
            answer: Of the request for the log, where there is one.
        """
        if answer is not None:
            document = document_of(answer)
            text = answer.text if not self.log_pick else _lines(search("failure.log.pick", self.log_pick, document))
        else:
            text = _lines(search("failure.log", self.log_pick, document))
        return printable(text).strip()[-LONGEST_TEXT:]


@dataclass(frozen=True, slots=True)
class Batch:
    """How many jobs are looked at together."""

    exchange: Exchange
    jobs: str
    """JMESPath of the list of status documents."""
    id: str
    """JMESPath of the job's name in each of them."""
    size: int = 50


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that a service's declaration says."""

    name: str
    unique: bool
    submit: Exchange
    submitted: Named
    status: Exchange
    look: Look
    result: Exchange | None = None
    result_pick: str = ""
    failure: Failure = field(default_factory=Failure)
    cancel: Exchange | None = None
    find: Exchange | None = None
    found: Named | None = None
    batch: Batch | None = None

    @property
    def later(self) -> list[tuple[str, str]]:
        """Places that are filled from the handle: those of the requests that follow the submission."""
        requests = (self.status, self.result, self.failure.log, self.cancel)
        return [place for request in requests if request is not None for place in request.places]


def _lines(value: Any) -> str:
    """A log as text: a list of lines, or a text."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(map(text_of, value))
    return value if isinstance(value, str) else text_of(value)
