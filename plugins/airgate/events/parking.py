"""Parked events: what nobody could take, kept for a person below the data root, one small file each.

    {data_root}/_events/parked/{dag}/{task}/{name}.json

The name follows from who parked what, so whoever does it again, in another try, replaces the file with the like.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from airgate.hooks.storage import open_folder, shared_folder_uri
from airgate.policy.events.batch import Unreadable
from airgate.policy.events.event import Event
from airgate.policy.idempotency import digest

if TYPE_CHECKING:
    from airgate.data.store.storage import Folder

VERSION = 1

Form = Literal["event", "events"]
"""How the conf of a run has events: one, or a list."""


@dataclass(frozen=True, slots=True)
class Parked:
    """One event that is parked, or what was told as one and is none."""

    why: str
    what: Event | Unreadable
    dag_id: str
    """The DAG of the task that parked it."""
    task_id: str
    run_id: str
    at: datetime
    """When. UTC."""
    target: str = ""
    """The DAG that has to take it; empty where nobody knows."""
    form: Form = "event"
    """How its run is to have it."""
    in_run: bool = False
    """Whether it was parked by a task of a run that had it, so that another run is needed to have it again."""

    @property
    def name(self) -> str:
        """Of its file, without the ending: 32 hexadecimal digits."""
        if isinstance(self.what, Event):
            what: tuple[object, ...] = ("event", self.what.source, self.what.id)
        else:
            # Where it was told differs when it is told again, as with another page of a feed.
            what = ("unreadable", self.what.why, self.what.raw)
        return digest((self.dag_id, self.task_id, self.target, *what))[:32]

    @property
    def again(self) -> str:
        """The id of the run that has it once more: another one each time that it is parked."""
        return f"ev__again__{digest((self.name, self.at.isoformat()))[:32]}"

    @classmethod
    def read(cls, told: object) -> Parked:
        """What ``to_json`` gave.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(told, Mapping) or told.get("version") != VERSION:
            raise ValueError(f"no parked event of version {VERSION}, which is the one that this release reads")
        try:
            kept = {name: str(told[name]) for name in ("why", "dag_id", "task_id", "run_id", "target")}
            event, unreadable = told.get("event"), told.get("unreadable")
            what = Event.read(event) if unreadable is None else Unreadable(**unreadable)
            form: Form = "events" if told["form"] == "events" else "event"
            return cls(what=what, at=datetime.fromisoformat(told["at"]), form=form, in_run=bool(told["in_run"]), **kept)
        except (KeyError, TypeError) as wrong:
            raise ValueError(f"a parked event is incomplete ({type(wrong).__name__}: {wrong})") from None

    def to_json(self) -> dict[str, Any]:
        """As an object."""
        return {
            "version": VERSION,
            "why": self.why,
            "at": self.at.isoformat(),
            "dag_id": self.dag_id,
            "task_id": self.task_id,
            "run_id": self.run_id,
            "target": self.target,
            "form": self.form,
            "in_run": self.in_run,
            "event" if isinstance(self.what, Event) else "unreadable": self.what.to_json(),
        }


class Parking:
    """Where one task parks.

    Args:
        ti: The task instance.

    Raises:
        ValueError: ``[airgate] data_root`` is not set.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._folder = open_folder(shared_folder_uri("events", "parked", ti.dag_id, ti.task_id))

    def park(self, why: str, what: Event | Unreadable, target: str, form: Form, *, in_run: bool = False) -> Parked:
        """Park an event; durable when this returns.

        Args:
            why: What a person has to know. Must hold no secret.
            what: The event.
            target: The DAG that has to take it, empty where nobody knows.
            form: How its run is to have it.
            in_run: Whether there was a run that had it.
        """
        ti = self._ti
        parked = Parked(why[:4000], what, ti.dag_id, ti.task_id, ti.run_id, datetime.now(UTC), target, form, in_run)
        self._folder.write(f"{parked.name}.json", json.dumps(parked.to_json(), indent=1).encode())
        return parked

    def names(self) -> set[str]:
        """Names of what is parked here."""
        return {name.removesuffix(".json") for name in self._folder.sizes() if name.endswith(".json")}

    def name_of(self, what: Event, target: str) -> str:
        """The name that an event has, or would have, here."""
        ti = self._ti
        return Parked("", what, ti.dag_id, ti.task_id, ti.run_id, datetime.now(UTC), target).name

    def remove(self, name: str) -> None:
        """Forget what is no longer parked."""
        remove(self._folder, f"{name}.json")


def everything() -> Folder:
    """The folder of all that is parked.

    Raises:
        ValueError: ``[airgate] data_root`` is not set.
    """
    return open_folder(shared_folder_uri("events", "parked"))


def all_parked(folder: Folder) -> Iterator[tuple[str, Parked | ValueError]]:
    """File and content of all that is parked in a folder and those below it; an error in place of what is no such."""
    for file in sorted(folder.sizes()):
        if not file.endswith(".json"):
            continue  # a temporary file of somebody who is writing, or was
        try:
            yield file, Parked.read(json.loads(folder.read(file)))
        except FileNotFoundError:
            continue  # taken away meanwhile
        except ValueError as wrong:
            yield file, ValueError(f"{folder.uri}/{file}: {wrong}")


def remove(folder: Folder, file: str) -> None:
    """Remove a file, if it is there."""
    try:
        folder.fs.rm_file(folder.file(file))
    except FileNotFoundError:
        return


def sent_to(parked: Parked, target: str) -> Parked:
    """The same, for another DAG."""
    return replace(parked, target=target)
