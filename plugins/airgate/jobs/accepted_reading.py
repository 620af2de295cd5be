"""What an answer, or a document out of one, says of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airgate.client import clock
from airgate.client.message import Response
from airgate.jobs.job import JobState, JobStatus
from airgate.jobs.status_document import document_of, percent_of, search, state_of, text_of, words_of
from airgate.policy.errors import Rejected
from airgate.policy.retry import retry_after

if TYPE_CHECKING:
    from airgate.jobs.accepted import Accepted

_TOLD_BY_STATUS = frozenset({204, 302, 303})
"""Statuses that say by themselves that a job is over and went well."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class Reading:
    """A job as one answer shows it."""

    fields: Accepted
    document: Any
    status: JobStatus
    has_state: bool
    """Whether it is a status document."""
    answer: Response | None = None

    @classmethod
    def of_answer(cls, fields: Accepted, answer: Response, *, documents: bool = False) -> Reading:
        """The answer of a job's address.

        Args:
            fields: How it is read.
            answer: What came.
            documents: Whether it can only be a status document, so that one without a state is no result.

        Raises:
            InvalidResponse: It has to have a state, and has none.
        """
        reading = cls._of(fields, document_of(answer), answer, answer.status)
        if documents and fields.state and answer.status == 200 and not reading.has_state:
            raise answer.invalid(
                f"the job's status document has no word for its state at {fields.state!r}: set state to its JMESPath, "
                "or to '' if the address answers 202 until it gives the result"
            )
        return reading

    @classmethod
    def of_document(cls, fields: Accepted, document: Any, answer: Response | None = None) -> Reading:
        """A document out of a list, or one that was kept."""
        return cls._of(fields, document, answer, 200)

    @classmethod
    def of_refusal(cls, fields: Accepted, error: Rejected) -> Reading:
        """A 4xx where the job is: the outcome of the job, as an address that speaks in statuses tells it."""
        state = JobState.CANCELLED if error.status == _GONE else JobState.FAILED
        message = f"{error.reason}; the answer began: {error.excerpt}" if error.excerpt else error.reason
        return cls(fields, None, JobStatus(state, message=message), has_state=False)

    @classmethod
    def _of(cls, fields: Accepted, document: Any, answer: Response | None, http_status: int) -> Reading:
        found = {name: _find(fields, name, document, answer) for name in ("state", "percent", "phase", "message")}
        word, phase = found["state"], text_of(found["phase"])
        known = None if word is None else state_of(word, words_of(own_words(fields)))
        if http_status in _TOLD_BY_STATUS:
            state = JobState.SUCCEEDED
        elif http_status == 202:
            state = known or JobState.RUNNING
        elif word is None:
            state = JobState.SUCCEEDED
        else:
            state = known or JobState.RUNNING
        if word is not None and known is None:
            phase = f"{phase} ({text_of(word)})" if phase else text_of(word)
        status = JobStatus(
            state,
            percent_of(found["percent"]),
            phase,
            text_of(found["message"]),
            None if answer is None else retry_after(answer.headers, clock.now()),
        )
        has_state = word is not None and http_status not in _TOLD_BY_STATUS
        return cls(fields, document, status, has_state, answer)

    def find(self, name: str) -> Any:
        """What the expression in that field finds.

        Raises:
            InvalidResponse: It does not fit the document.
        """
        return _find(self.fields, name, self.document, self.answer)

    @property
    def job_id(self) -> str:
        """The job's name in the document; empty without one."""
        found = self.find("job_id")
        return text_of(found) if isinstance(found, str | int) else ""

    @property
    def link_to_result(self) -> str | None:
        """The address of the result that the answer gives, None without one."""
        if self.answer is None:
            return None
        link = self.find("result_link") if self.has_state else None
        link = link or self.answer.headers.get("location")
        if self.answer.status in {302, 303} and not link:
            raise self.answer.invalid("the result is elsewhere, and no Location says where")
        return str(link) if link else None

    @property
    def content(self) -> Any:
        """The result that the answer itself is."""
        if self.answer is None or self.document is not None:
            return self.document
        return content_of(self.answer)

    @property
    def retryable(self) -> bool:
        """Whether another job may succeed where this one did not."""
        if self.status.state is not JobState.FAILED:
            return False
        said = self.find("retryable")
        return said if isinstance(said, bool) else True


def content_of(answer: Response) -> Any:
    """A result: its JSON, else its text; None for none.

    Raises:
        InvalidResponse: It is neither.
    """
    if not answer.bytes.strip():
        return None
    document = document_of(answer)
    if document is not None or answer.bytes.strip() == b"null":
        return document
    if answer.headers.get("content-type", "").strip().lower().startswith("text/"):
        return answer.text
    raise answer.invalid(
        "the result is neither JSON nor text, and a task's result must be: fetch it in a task of its own"
    )


def own_words(fields: Accepted) -> dict[JobState, Any]:
    """The service's own words for the states."""
    return {
        JobState.SUCCEEDED: fields.succeeded,
        JobState.FAILED: fields.failed,
        JobState.CANCELLED: fields.cancelled,
        JobState.QUEUED: fields.queued,
        JobState.RUNNING: fields.running,
    }


def _find(fields: Accepted, name: str, document: Any, answer: Response | None) -> Any:
    try:
        return search(name, getattr(fields, name), document)
    except ValueError as error:
        if answer is None:
            raise
        raise answer.invalid(str(error)) from None
