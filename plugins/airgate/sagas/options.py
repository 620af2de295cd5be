"""What may be said of a saga as a whole."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk import TaskGroup

from airgate.hooks.gateway import GatewayHook

_MAY_BE_NONE = ("deadline", "answer_within")


@dataclass(frozen=True, slots=True)
class SagaOptions:
    """The arguments of ``Saga`` and ``@saga``."""

    gateway_conn_id: str = GatewayHook.default_conn_name
    """Connection of type ``gateway``, for steps that name none."""
    honours_keys: bool | None = None
    """Whether the services honour idempotency keys: then a step is sent again freely, by its key. False sends none;
    None does what the connection's ``idempotency`` says."""
    deadline: timedelta | None = None
    """Time in which the pivot, or without one the last step, must begin; else the saga goes back. None for no limit."""
    retries: int = 3
    """Of steps up to the pivot."""
    retry_delay: timedelta = timedelta(seconds=5)
    """Between the tries of a step, where the service names no time."""
    forward_retries: int = 20
    """Of steps behind the pivot."""
    undo_retries: int = 20
    """Of undos, and of the saga's own tasks."""
    undo_retry_delay: timedelta = timedelta(seconds=5)
    """Between the first tries of these; it doubles, up to ``max_retry_delay``."""
    max_retry_delay: timedelta = timedelta(minutes=10)
    """The longest pause between two tries."""
    settles_in: timedelta = timedelta(seconds=15)
    """Time in which a request may still arrive at the service after its sender has given up."""
    halt_on_failed_undo: bool = False
    """Whether an undo waits for those before it to succeed; otherwise for them to end."""
    answer_within: timedelta | None = timedelta(days=7)
    """How long a person has to answer when nobody knows what became of a step, or when an undo finally failed. None
    asks nobody: the saga then ends as *needs-attention*."""
    notifiers: Sequence[Any] = ()
    """Airflow notifiers, told when a person is asked and when the saga ends as *needs-attention*."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            TypeError: Naming the argument that is of another kind.
            ValueError: Naming the argument.
        """
        self._check_types()
        for name in ("retries", "forward_retries", "undo_retries"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in _MAY_BE_NONE:
            value = getattr(self, name)
            if value is not None and value <= timedelta(0):
                raise ValueError(f"{name} must be longer than nothing, not {value}; None for no limit")
        for name in ("retry_delay", "undo_retry_delay", "max_retry_delay", "settles_in"):
            if getattr(self, name) < timedelta(0):
                raise ValueError(f"{name} must not be negative, as {getattr(self, name)} is")

    def _check_types(self) -> None:
        for name in ("retries", "forward_retries", "undo_retries"):
            if type(value := getattr(self, name)) is not int:
                raise TypeError(f"{name} must be a whole number, not {value!r}")
        for name in ("deadline", "answer_within", "retry_delay", "undo_retry_delay", "max_retry_delay", "settles_in"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) and (value is not None or name not in _MAY_BE_NONE):
                raise TypeError(f"{name} must be a timedelta, not {value!r}")
        if self.honours_keys not in (True, False, None):
            raise TypeError(f"honours_keys must be True, False or None, not {self.honours_keys!r}")
        if isinstance(self.notifiers, str) or not isinstance(self.notifiers, Sequence):
            raise TypeError(f"notifiers must be a list of notifiers, not {type(self.notifiers).__name__}")

    @property
    def patient(self) -> dict[str, Any]:
        """What undos, and the saga's own tasks, are tried with."""
        return {
            "retries": self.undo_retries,
            "retry_delay": self.undo_retry_delay,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": self.max_retry_delay,
            # From the DAG's default_args they would let an undo wait for a run that went well.
            "depends_on_past": False,
            "wait_for_downstream": False,
        }


def split(arguments: Mapping[str, Any]) -> tuple[SagaOptions, dict[str, Any]]:
    """The options among some arguments, and the others, which are for the task group.

    Raises:
        TypeError: Naming the argument that neither has, or that is of another kind.
        ValueError: Naming the argument.
    """
    own = {member.name for member in dataclasses.fields(SagaOptions)}
    others = {name: value for name, value in arguments.items() if name not in own}
    if unknown := sorted(others.keys() - inspect.signature(TaskGroup).parameters.keys()):
        raise TypeError(f"unknown: {', '.join(unknown)}; a saga has {', '.join(sorted(own))} and what a TaskGroup has")
    options = SagaOptions(**{name: value for name, value in arguments.items() if name in own})
    return options, others
