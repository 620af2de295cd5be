"""A service's jobs by its declaration: requests and JMESPath in YAML, JSON or a dict, instead of Python."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from airgate.client.message import Response
from airgate.jobs.declaration import Declaration, Exchange, Named
from airgate.jobs.declaration_file import load_declaration
from airgate.jobs.declaration_reading import read_declaration
from airgate.jobs.job import JobHandle, JobState, JobStatus
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.status_document import document_of, search
from airgate.jobs.talk import Ask, Talk
from airgate.policy.errors import Conflict, GatewayError, JobFailed, NotFound

log = logging.getLogger(__name__)

_OWN = ("id", "key", "ids", "id_list")
"""Names that are filled by themselves."""


@dataclass(repr=False)
class DeclaredJob(JobProtocol):
    """Jobs of a service that is declared, see docs/jobs-your-own.md.

    Args:
        declaration: A file, ``package://package.name/path``, or the object itself. A file is read while the DAG is
            parsed, and what it says travels with the job: a triggerer needs no file.
        values: What ``{name}`` in the declaration stands for. Those that ``find`` or a request after the submission
            names are stored in Airflow's database, so none may be secret.
        json: Body of the submission; members of an object go over those that the declaration has.
        base: Prefix behind the gateway.
    """

    declaration: str | Mapping[str, Any] = ""
    values: Mapping[str, Any] | str = field(default_factory=dict)
    json: Any = None
    base: str = ""

    template_fields: ClassVar[Sequence[str]] = ("values", "json", "base")
    watched: ClassVar[Sequence[str]] = ("declaration", "base")

    def __repr__(self) -> str:
        # The generated one would fill Airflow's pages with the whole declaration.
        named = self.declaration.get("name", "inline") if isinstance(self.declaration, Mapping) else self.declaration
        return f"DeclaredJob({named!r}, base={self.base!r})"

    def __post_init__(self) -> None:
        self._unread: str | None = None
        if isinstance(self.declaration, str) and self.declaration:
            try:
                self.declaration = load_declaration(self.declaration)
            except ValueError as error:
                self._unread = str(error)

    @cached_property
    def declared(self) -> Declaration:
        """What the declaration says.

        Raises:
            ValueError: It cannot be read, or cannot work.
        """
        if self._unread is not None:
            raise ValueError(self._unread)
        return read_declaration(self.declaration)

    @property
    def unique(self) -> bool:
        """As declared."""
        return self.declared.unique

    @property
    def finds(self) -> bool:
        """Where find is declared."""
        return self.declared.find is not None

    @property
    def batch(self) -> int:  # type: ignore[override] # by declaration, not by class
        """Where batch is declared."""
        return 0 if self.declared.batch is None else self.declared.batch.size

    def problem(self) -> str | None:
        """What keeps this from working, None when nothing does."""
        if not self.declaration:
            return "declaration is missing: a file such as include/jobs/render.yaml, or an object"
        try:
            declared = self.declared
        except ValueError as error:
            return f"declaration: {error}"
        if self.base and "{{" not in self.base and not self.base.startswith("/"):
            return f"base must be a path behind the gateway that begins with /, not {self.base!r}"
        return self._values_problem(declared)

    def _values_problem(self, declared: Declaration) -> str | None:
        if isinstance(self.values, str) and "{{" in self.values:
            return None
        if not isinstance(self.values, Mapping):
            return f"values must be an object of names and values, not a {type(self.values).__name__}"
        if taken := sorted(set(_OWN) & set(self.values)):
            return f"values: {taken[0]!r} is filled by itself; choose another name"
        given = {"key", *self.values}
        kept = {"id", *declared.submitted.keep}
        wanted = [(declared.submit.places, given), (declared.later, given | kept)]
        if declared.find is not None:
            wanted.append((declared.find.places, given))
        for found, known in wanted:
            for at, name in found:
                if name not in known:
                    return f"{at}: nothing fills {{{name}}}; give values={{{name!r}: ...}}"
        return None

    # -- the verbs ------------------------------------------------------------------------------------------------

    def submit(self, key: str) -> Talk[JobHandle]:
        """As declared; a conflict that is expected means that the job of this key is there already."""
        declared = self.declared
        answer = yield declared.submit.ask(self.base, self._known(key), self.json)
        if answer.status == 409 and declared.find is not None:
            handle = yield from self.find(key)
        else:
            handle = self._handle(declared.submitted, answer, key)
        if handle is not None:
            return handle
        if answer.status == 409:
            raise Conflict("answered 409, and no job of this key is there", method=answer.method, url=answer.url)
        raise answer.invalid(f"submit.id {declared.submitted.id!r} finds no id in the answer")

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """As declared."""
        answer = yield self._later(self.declared.status, handle)
        return self._read(answer)

    def result(self, handle: JobHandle) -> Talk[Any]:
        """The result as declared, else the status document."""
        declared = self.declared
        answer = yield self._later(declared.status, handle)
        status, document = self._read(answer), document_of(answer)
        if status.state is not JobState.SUCCEEDED:
            yield from self._failed(handle, status, document)
        if declared.result is not None:
            answer = yield self._later(declared.result, handle)
            document = document_of(answer)
        if declared.result_pick:
            return self._searched(answer, "result.pick", declared.result_pick)
        return answer.text if document is None and answer.text.strip() else document

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """As declared; nothing where it is not."""
        if self.declared.cancel is None:
            log.info("job %s: goes on, as its declaration has no cancel", handle.id)
            return
        with suppress(NotFound, Conflict):  # gone, or over
            yield self._later(self.declared.cancel, handle)

    def find(self, key: str) -> Talk[JobHandle | None]:
        """As declared; an answer without an id, or 404, says that there is none."""
        declared = self.declared
        if declared.find is None or declared.found is None:
            return (yield from super().find(key))
        try:
            answer = yield declared.find.ask(self.base, self._known(key))
        except NotFound:
            return None
        return self._handle(declared.found, answer, key)

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """As declared; jobs that the answer leaves out are asked for one by one."""
        batch, look = self.declared.batch, self.declared.look
        if batch is None:
            return (yield from super().statuses(handles))
        ids = [handle.id for handle in handles]
        answer = yield batch.exchange.ask(self.base, {"ids": ",".join(ids), "id_list": ids})
        jobs = self._searched(answer, "batch.jobs", batch.jobs)
        if not isinstance(jobs, list):
            raise answer.invalid(f"batch.jobs {batch.jobs!r} finds no list in the answer")
        found = {}
        for job in jobs:
            status = look.read(job, {})
            if status is not None:
                found[str(search("batch.id", batch.id, job))] = status
        return {id_: found[id_] for id_ in ids if id_ in found}

    def seeking(self) -> dict[str, Any]:
        """With the values that find and what follows it name."""
        declared = self.declared
        named = {name for _, name in [*(declared.find.places if declared.find else ()), *declared.later]}
        values = self.values if isinstance(self.values, Mapping) else {}
        return {**super().seeking(), "values": {name: value for name, value in values.items() if name in named}}

    # -- what they are made of ------------------------------------------------------------------------------------

    def _known(self, key: str) -> dict[str, Any]:
        return {**(self.values if isinstance(self.values, Mapping) else {}), "key": key}

    def _later(self, exchange: Exchange, handle: JobHandle) -> Ask:
        own = self.values if isinstance(self.values, Mapping) else {}
        return exchange.ask(self.base, {**own, **handle.data, "id": handle.id})

    def _handle(self, named: Named, answer: Response, key: str) -> JobHandle | None:
        try:
            found = named.read(document_of(answer))
        except ValueError as error:
            raise answer.invalid(str(error)) from None
        if found is None:
            return None
        id_, kept = found
        known, wanted = self._known(key), {name for _, name in self.declared.later}
        return JobHandle(id_, {name: value for name, value in {**known, **kept}.items() if name in wanted})

    def _read(self, answer: Response) -> JobStatus:
        look = self.declared.look
        try:
            status = look.read(document_of(answer), answer.headers)
        except ValueError as error:
            raise answer.invalid(str(error)) from None
        if status is None:
            raise answer.invalid(f"status.state {look.state!r} finds nothing in the answer")
        return status

    def _searched(self, answer: Response, at: str, expression: str) -> Any:
        try:
            return search(at, expression, document_of(answer))
        except ValueError as error:
            raise answer.invalid(str(error)) from None

    def _failed(self, handle: JobHandle, status: JobStatus, document: Any) -> Talk[None]:
        failure = self.declared.failure
        answer = None
        if failure.log is not None:
            with suppress(GatewayError):  # the job's own failure counts for more
                answer = yield self._later(failure.log, handle)
        told = failure.told(document) or status.message
        raise JobFailed(
            f"job {handle.id} {status.state.value}" + (f": {told}" if told else ""),
            excerpt="" if failure.log is not None and answer is None else failure.excerpt(document, answer),
            retryable=failure.may_pass(document, status.state),
        )
