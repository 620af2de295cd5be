"""Writes that happen once: what a task instance remembers of a write, over all its tries.

Before a write leaves, its key and fingerprint are stored. A later try that would send another request under the same
key is stopped; so is one whose predecessor may have sent a write that nobody can recognize a second time.
"""

from __future__ import annotations

import threading
from typing import Any

from airflow.sdk import get_current_context

from airgate.policy.errors import Conflict, GatewayError, KeyReused, OutcomeUnknown
from airgate.policy.idempotency import Fingerprint, Setting, digest, idempotency_key
from airgate.policy.retry import IDEMPOTENT_METHODS

_VERSION = 1

EPOCH_KEY = "airgate_epoch"
"""Name in the task's context of the epoch that its calls belong to when they name none: that of the task's saga."""
ANEW_KEY = "airgate_anew"
"""Name in the task's context of whether its writes go as if for the first time, whatever earlier tries have sent."""


class Write:
    """One write of a task instance.

    Args:
        context: The task's.
        name: Of the call within the task.
        fingerprint: Of the request.
        use: What is done with a key.
        key: The caller's own, None for one that is made.
        epoch: Part of a key that is made.
        by_name: Whether a key that is made is the name's alone, also where the method makes the request repeatable.
        streamed: Whether the body is made while it is sent.
    """

    def __init__(
        self,
        context: Any,
        *,
        name: str,
        fingerprint: Fingerprint,
        use: Setting,
        key: str | None = None,
        epoch: str = "",
        by_name: bool = False,
        streamed: bool = False,
    ) -> None:
        ti = context["ti"]
        # What an idempotent method repeats does no harm, so its key may change with the request.
        self._by_method = fingerprint.method in IDEMPOTENT_METHODS and key is None
        by_request = self._by_method and not by_name
        call = digest((name, *fingerprint.to_json().values())) if by_request else name
        epoch = epoch or context.get(EPOCH_KEY, "")
        made = _key(ti, call, epoch) if key is None else key
        self.key = None if use == "off" else made
        self.relied = use == "honoured"
        self._fingerprint = fingerprint
        self._store = None if self._by_method else context["task_state_store"]
        self._slot = _slot(name, epoch)
        self._max_tries = ti.max_tries
        self._streamed = streamed
        self._anew = bool(context.get(ANEW_KEY)) and not self.relied
        self.in_doubt = False
        """Whether an earlier try may have sent it."""

    @property
    def repeatable(self) -> bool:
        """Whether sending it again does no harm: its method says so, or the service honours the key."""
        return self.relied or self._by_method

    def begin(self) -> None:
        """Remember the write; durable when this returns, so to be called before it leaves.

        Raises:
            KeyReused: An earlier try sent another request under the key.
            OutcomeUnknown: An earlier try may have sent it, and it must not go twice.
        """
        if self._store is None:
            return
        earlier = None if self._anew else self._store.get(self._slot)
        if earlier is not None and earlier["key"] is not None and earlier["key"] == self.key:
            different = Fingerprint.from_json(earlier["fingerprint"]).differences(self._fingerprint)
            if different:
                raise self._error(KeyReused, f"an earlier try sent another request under its key: {_and(different)}")
        if not self.relied and earlier is not None and earlier["max_tries"] == self._max_tries:
            raise self._error(
                OutcomeUnknown,
                "an earlier try sent this write, or may have, and no service would know it again; clear the task to "
                "send it again",
            )
        self.in_doubt = self.relied and earlier is not None
        self._store.set(
            self._slot,
            {
                "version": _VERSION,
                "key": self.key,
                "fingerprint": self._fingerprint.to_json(),
                "max_tries": self._max_tries,
            },
        )

    def failed(self, error: Exception) -> None:
        """Take note of how the call ended; forgets the write where it provably had no effect."""
        if isinstance(error, GatewayError):
            # A conflict may be the service's word that it is still busy with this very key.
            no_effect = not error.in_doubt and not (self.relied and isinstance(error, Conflict))
        else:
            # A ValueError comes before anything is sent, but for one out of a body that is made while it is sent.
            no_effect = isinstance(error, ValueError) and not self._streamed
        if no_effect and not self.in_doubt:
            self.forget()

    def forget(self) -> None:
        """It did not happen: it may be sent as if for the first time."""
        if self._store is not None:
            self._store.delete(self._slot)

    def _error(self, kind: type[GatewayError], reason: str) -> GatewayError:
        return kind(reason, method=self._fingerprint.method, url=self._fingerprint.target)


def forget_write(context: Any, name: str, epoch: str) -> None:
    """Let a write go as if for the first time: the service has been asked, and says that no earlier try did it.

    Args:
        context: The task's.
        name: Of the call within the task.
        epoch: Part of its key.
    """
    context["task_state_store"].delete(_slot(name, epoch))


def _slot(name: str, epoch: str) -> str:
    return f"airgate.write:{digest((name, epoch))[:16]}"


def _and(parts: list[str]) -> str:
    return " and ".join(parts)


def _key(ti: Any, call: str, epoch: str) -> str:
    return idempotency_key(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        call=call,
        epoch=epoch,
    )


def running_context() -> Any | None:
    """The context of the task that runs in this process, None outside of one."""
    try:
        return get_current_context()
    except RuntimeError:
        return None


def name_in_saga() -> str:
    """The name of an unnamed call of a saga's step: the task's, as the saga finds the effect by it; else empty."""
    context = running_context()
    return context["ti"].task_id if context is not None and EPOCH_KEY in context else ""


class _Names:
    """Names that the writes of the running try have taken: two of one name would have one key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._try: object = None
        self._of: object = None
        self._taken: set[str] = set()

    def take(self, context: Any, name: str | None) -> str:
        """The name within the task, refused when an earlier write of this try has it."""
        ti = context["ti"]
        # The id changes with every try.
        running = (getattr(ti, "id", None) or id(ti), ti.task_id)
        name = name or ti.task_id
        with self._lock:
            if running != self._try:
                self._try, self._taken = running, set()
                self._of = ti  # as long as it is kept, no other object has its id
            if name in self._taken:
                raise ValueError(
                    f"task {ti.task_id!r} makes a second write under the name {name!r}, and so under the key of the "
                    "first; give each a name of its own, name='charge' (or idempotency_key=False to a POST without an "
                    "effect, such as a search)"
                )
            self._taken.add(name)
        return name

    def give_back(self, name: str) -> None:
        """The write did not come to its end, so the same code may try it again."""
        with self._lock:
            self._taken.discard(name)


NAMES = _Names()
