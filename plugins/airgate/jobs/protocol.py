"""What every protocol of long-running work can do, in five verbs: submit, status, result, cancel, find by key."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

from airgate.jobs.job import JobHandle, JobStatus
from airgate.jobs.talk import Talk


class JobProtocol(ABC):
    """One kind of long-running work.

    A protocol is a dataclass that is not frozen (Airflow renders templates in place); each field has a default, because
    the triggerer makes a protocol anew of the ``watched`` fields alone. Its verbs send nothing: see
    ``airgate.jobs.talk``.
    """

    template_fields: ClassVar[Sequence[str]] = ()
    """Fields that may hold Airflow templates."""
    watched: ClassVar[Sequence[str]] = ()
    """Fields that status, result and cancel need. Airflow stores them with a trigger: nothing secret, no body."""
    sought: ClassVar[Sequence[str]] = ()
    """Fields that find needs beside the watched ones. Airflow stores them with the task: nothing secret, no body."""
    batch: ClassVar[int] = 0
    """Most jobs that ``statuses`` takes; 0 where it cannot."""

    @property
    def unique(self) -> bool:
        """Whether two submissions under one key make one job, by the service's own word."""
        return False

    @property
    def finds(self) -> bool:
        """Whether ``find`` can tell that a key has no job."""
        return False

    def watching(self) -> dict[str, Any]:
        """The fields with which the triggerer makes this protocol anew, as JSON, without those at their default."""
        return self._fields(self.watched)

    def seeking(self) -> dict[str, Any]:
        """The same with what find needs."""
        return self.watching() | self._fields(self.sought)

    def _fields(self, names: Sequence[str]) -> dict[str, Any]:
        plain = {field.name: field.default for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: value for name in names if (value := getattr(self, name)) != plain[name]}

    def problem(self) -> str | None:
        """What keeps this from working, None when nothing does; asked while the DAG is parsed."""
        return None

    @abstractmethod
    def submit(self, key: str) -> Talk[JobHandle]:
        """Start the job, and name it by the key where the service can. The first ask with an effect starts it."""

    @abstractmethod
    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """How the job stands; only asks without an effect."""

    @abstractmethod
    def result(self, handle: JobHandle) -> Talk[Any]:
        """What a job that is over gave, as JSON.

        Raises:
            JobFailed: It did not succeed; with the service's reason, and the end of its log where there is one.
        """

    @abstractmethod
    def cancel(self, handle: JobHandle) -> Talk[None]:
        """Ask the service to end the job. No error when it is over or gone: to be cancelled twice is usual."""

    def find(self, key: str) -> Talk[JobHandle | None]:
        """The job that was submitted under a key, None when there is none; only asks without an effect."""
        raise NotImplementedError(f"{type(self).__name__} cannot find a job by its key")

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """How many jobs stand, by id, in few requests; those that are missing are asked for one by one.

        A protocol that can do this sets ``batch``.
        """
        raise NotImplementedError(f"{type(self).__name__} asks for one job at a time")


def reference(protocol: JobProtocol) -> dict[str, Any]:
    """What makes the protocol anew in another process: its class, and the fields it watches with.

    Raises:
        ValueError: Its class cannot be imported there, or its fields are no JSON.
    """
    return _reference(protocol, protocol.watching())


def reference_to_find(protocol: JobProtocol) -> dict[str, Any]:
    """The same of one that also finds a job by its key there; see ``reference``."""
    return _reference(protocol, protocol.seeking())


def reference_to_submit(protocol: JobProtocol) -> dict[str, Any]:
    """The same of one that also submits there; it holds the body, and must not be stored as it is."""
    names = [field.name for field in dataclasses.fields(protocol) if field.init]  # type: ignore[arg-type]
    return _reference(protocol, {name: getattr(protocol, name) for name in names})


def _reference(protocol: JobProtocol, fields: dict[str, Any]) -> dict[str, Any]:
    kind = type(protocol)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if "<locals>" in name or kind.__module__ == "__main__" or kind.__module__.startswith("unusual_prefix_"):
        raise ValueError(
            f"the triggerer cannot import {kind.__qualname__}: define it in a module of plugins/ or of an installed "
            "package, not in a DAG file, or set deferrable=False"
        )
    try:
        plain = json.loads(json.dumps(fields))  # lists for tuples, which Airflow's state store refuses
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"what {kind.__qualname__} watches with must be JSON, as Airflow stores it: {error}; set deferrable=False "
            "to wait in the worker"
        ) from None
    return {"class": name, "fields": plain}


def recreate(stored: Mapping[str, Any]) -> JobProtocol:
    """The protocol of a reference, fit for what that was made for.

    Raises:
        ValueError: Its class is not there, or none.
    """
    module, _, name = str(stored["class"]).partition(":")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the job protocol {stored['class']} cannot be imported here: {error}") from None
    if not (isinstance(kind, type) and issubclass(kind, JobProtocol)):
        raise ValueError(f"{stored['class']} is no JobProtocol")  # noqa: TRY004 - of what is stored, not of an argument
    return kind(**stored["fields"])
