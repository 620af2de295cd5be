"""Work that a service takes up with 202 Accepted and shows at an address of its own.

Checked against RFC 9110 (10.2.2 Location, 10.2.3 Retry-After, 15.3.3 202, 15.4.4 303), the Azure REST API guidelines
and Azure Resource Manager's asynchronous operations (Operation-Location, Azure-AsyncOperation), and the asynchronous
request-reply pattern of Azure Logic Apps.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airgate.client.message import Response
from airgate.jobs.accepted_asks import ask_for, first_ask
from airgate.jobs.accepted_fields import problem_of
from airgate.jobs.accepted_handle import handle_of, handle_of_found
from airgate.jobs.accepted_place import Foreign, Places, ask_at, under_of
from airgate.jobs.accepted_reading import Reading, content_of
from airgate.jobs.job import LONGEST_TEXT, JobHandle, JobState, JobStatus
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Ask, Talk
from airgate.policy.errors import Conflict, GatewayError, JobFailed, NotFound, Rejected, Unauthorized

log = logging.getLogger(__name__)

_LOOKS = frozenset({*range(200, 300), 302, 303})


@dataclass
class Accepted(JobProtocol):
    """A request that is answered 202, with the address that tells how the work stands.

    The address answers in one of two ways, which are told apart by what comes. Either in HTTP's own words: 202 while it
    runs, then 200, 201 or 204 with the result, or 302 or 303 with its address. Or with a status document: 200 and a
    word for the state. Fields called "JMESPath" are expressions over that document.
    """

    path: str = ""
    """Path that starts the work, below ``base``."""
    method: str = "POST"
    path_params: Mapping[str, Any] = field(default_factory=dict)
    """Values of ``{name}`` in all paths."""
    query: Mapping[str, Any] | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    data: Any = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    base: str = ""
    """Path of the service behind the gateway, such as ``/work``."""

    honours_keys: bool = False
    """Whether two requests under one Idempotency-Key start the work once, by the service's own word."""
    key_in: str = ""
    """Where else the job's key is told to the service, to find the job by: ``json:name``, ``query:name`` or
    ``header:name``."""
    find_path: str = ""
    """Path that shows the job of ``{key}``, for services that can be asked; 404 means that there is none."""
    found: str = ""
    """JMESPath of the job in that answer, such as ``jobs[0]``; ``@`` for all of it."""

    job_id: str = "id || jobId || job_id"
    """JMESPath of the job's name in a document; without one it is the last part of its address."""
    link: str = ""
    """JMESPath of its address in the first answer, for services that send no Location."""
    status_path: str = ""
    """Path of its address with ``{id}``, for services that give no address at all."""
    foreign_location: Foreign = "refuse"
    """What is done with an address on another host: ``path`` takes its path and query onto the gateway."""
    location_prefix: str | None = None
    """What the gateway puts before the service's own paths; ``base`` where it is None. Addresses that begin with it
    stay as they are, others are prefixed."""

    state: str = "status || state || runtimeStatus || properties.provisioningState"
    """JMESPath of the word for the state; empty where the results themselves may have such a member."""
    succeeded: Sequence[str] = ()
    """Words for the state beside the usual ones; so are the next four."""
    failed: Sequence[str] = ()
    cancelled: Sequence[str] = ()
    queued: Sequence[str] = ()
    running: Sequence[str] = ()
    percent: str = "percentComplete || percent_complete || percent || progress"
    """JMESPath of a number from 0 to 100."""
    phase: str = "phase || stage || step"
    """JMESPath; for people."""
    message: str = "error.message || message || statusMessage || detail || error"
    """JMESPath; for people, and the reason when it failed."""
    retryable: str = "error.retryable"
    """JMESPath of whether another job may succeed where this one failed. Without a word on it, it may: the task's
    ``retries`` decide."""
    result_link: str = "resourceLocation"
    """JMESPath of the result's address."""
    output: str = ""
    """JMESPath of the result within the status document, ``@`` for all of it; empty for what is at the result's
    address, or all of the document where there is none."""
    log_path: str = ""
    """Path of the job's log with ``{id}``; its end is shown when the job failed."""

    cancels: str | None = "DELETE"
    """How a job is cancelled: a method, for its address, or method and path such as ``POST /jobs/{id}/cancel``; None
    for services that cannot."""
    batch_path: str = ""
    """Path that shows many jobs, with ``{ids}``: their names with commas between them."""
    listed: str = ""
    """JMESPath of the list of jobs in that answer, such as ``jobs``."""
    batch_size: int = 50

    template_fields: ClassVar[Sequence[str]] = ("path", "path_params", "query", "json", "data", "headers", "base")
    watched: ClassVar[Sequence[str]] = (
        *("path_params", "base", "job_id", "foreign_location", "location_prefix", "state", "succeeded", "failed"),
        *("cancelled", "queued", "running", "percent", "phase", "message", "retryable", "result_link", "output"),
        *("log_path", "cancels", "batch_path", "listed", "batch_size"),
    )
    sought: ClassVar[Sequence[str]] = ("find_path", "found", "link", "status_path")

    @property
    def unique(self) -> bool:
        """As the service says."""
        return self.honours_keys

    @property
    def finds(self) -> bool:
        """Whether it can be asked."""
        return bool(self.find_path)

    @property
    def batch(self) -> int:  # type: ignore[override]
        """Most jobs of one question."""
        return self.batch_size if self.batch_path else 0

    def problem(self) -> str | None:
        """What keeps this from working."""
        return problem_of(self)

    def submit(self, key: str) -> Talk[JobHandle]:
        """Send the request. A refusal as a conflict may mean that the job of this key is there: it is looked for."""
        first = first_ask(self, key)
        try:
            answer = yield first
        except Conflict:
            handle = (yield from self.find(key)) if self.finds else None
            if handle is None:
                raise
            return handle
        return handle_of(self, first, answer)

    def find(self, key: str) -> Talk[JobHandle | None]:
        """Ask for the job of a key."""
        ask = ask_for(self, self.find_path, key=key)
        try:
            answer = yield ask
        except NotFound:
            return None
        return handle_of_found(self, answer, under_of(ask, answer))

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """Ask at the job's address."""
        return (yield from self._look(handle)).status

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """Ask for many by their names."""
        answer = yield ask_for(self, self.batch_path, ids=",".join(handle.id for handle in handles))
        documents = Reading.of_answer(self, answer).find("listed") or []
        readings = [Reading.of_document(self, document, answer) for document in documents]
        return {reading.job_id: reading.status for reading in readings if reading.has_state}

    def result(self, handle: JobHandle) -> Talk[Any]:
        """What is at the result's address, or in the status document."""
        reading = yield from self._look(handle)
        if reading.status.state is not JobState.SUCCEEDED:
            yield from self._raise_failure(handle, reading)
        if self.output and reading.has_state:
            return reading.find("output")
        places = Places.of(self, handle.data.get("under", ""))
        if (link := reading.link_to_result) is not None:
            assert reading.answer is not None  # only an answer has links
            place = places.place(link, reading.answer)
        elif reading.has_state and "result" in handle.data:
            place = handle.data["result"]
        else:
            return reading.content
        return content_of((yield ask_at(place)))

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """Ask for the job's end as ``cancels`` says."""
        if "kept" in handle.data:
            return
        if self.cancels is None:
            log.warning("job %s: its service cannot cancel, the job goes on", handle.id)
            return
        method, _, path = self.cancels.partition(" ")
        try:
            yield ask_for(self, path, method, id=handle.id) if path else ask_at(handle.data["at"], method)
        except Rejected:
            # Over or gone is what was wanted; anything else is a refusal.
            try:
                status = yield from self.status(handle)
            except NotFound:
                return
            if not status.over:
                raise

    def _look(self, handle: JobHandle) -> Talk[Reading]:
        if "kept" in handle.data:
            return Reading.of_document(self, handle.data["kept"])
        try:
            answer: Response = yield ask_at(handle.data["at"], expect=_LOOKS)
        except (Unauthorized, Conflict):
            raise
        except Rejected as error:
            if isinstance(error, NotFound) and error.status != 410:
                raise
            return Reading.of_refusal(self, error)
        return Reading.of_answer(self, answer, documents="documents" in handle.data)

    def _raise_failure(self, handle: JobHandle, reading: Reading) -> Generator[Ask, Response, None]:
        status, excerpt = reading.status, ""
        if not status.over:
            raise (reading.answer.invalid if reading.answer else ValueError)(f"job {handle.id} is not over: {status}")
        if self.log_path and status.state is JobState.FAILED:
            try:
                answer = yield ask_for(self, self.log_path, id=handle.id)
                excerpt = answer.text[-LONGEST_TEXT:]
            except GatewayError as error:
                log.warning("job %s: its log could not be read: %s", handle.id, error)
        reason = f"job {handle.id} {status.state.value}" + (f": {status.message}" if status.message else "")
        raise JobFailed(reason, excerpt=excerpt, retryable=reading.retryable)
