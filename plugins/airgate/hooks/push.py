"""The push of a running task: what it offers, its calls, and its progress in Airflow's task state store."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airgate.client import clock
from airgate.data.push.plan import Push, PushReport
from airgate.data.push.pushing import push
from airgate.hooks.lineage import Lineage, folder_of, letters_of, report_assets, route_of
from airgate.hooks.push_call import BatchCalls
from airgate.hooks.push_offer import KeptFrames, offered_by
from airgate.hooks.push_task import PushTask
from airgate.hooks.state import TaskStateCheckpoint
from airgate.hooks.storage import map_index_segment, open_folder, task_folder_uri
from airgate.hooks.waits import TaskDeadline
from airgate.hooks.writes import NAMES, running_context
from airgate.policy.errors import GatewayError
from airgate.policy.idempotency import digest

if TYPE_CHECKING:
    from airgate.data.store.storage import Folder
    from airgate.hooks.gateway import GatewayHook

_STATE = "airgate.push"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


class TaskPush:
    """A push of a task instance; the next try makes the same one and goes on with it.

    Args:
        hook: Whose gateway.
        wanted: What is to be pushed.
        context: The task's.
        name: Of the push within the task; empty where it has but one.

    Raises:
        TypeError: A frame is none that can be written.
        ValueError: The records are not those that they were, or there is no folder for dead letters.
        OSError: They cannot be found.
    """

    def __init__(self, hook: GatewayHook, wanted: PushTask, context: Any, name: str = "") -> None:
        self._hook = hook
        ti, batch_call, store = context["ti"], wanted.batch_call, context["task_state_store"]
        slot = f"{_STATE}:{name}" if name else _STATE
        self._folder = _folder(ti, wanted.output_path, name)
        frames = KeptFrames(self._folder, store, f"{slot}.frames", ti.max_tries)
        self.offered = offered_by(wanted.data, wanted.replay_dead_letters, wanted.columns, self._folder, frames)
        named = (name,) if name else ()
        content = digest((self.offered.content, wanted.size, wanted.route, hook.gateway_conn_id, *named))
        self._calls = BatchCalls(hook, batch_call, ti, use=wanted.idempotency_key, epoch=wanted.epoch, content=content)
        repeatable = self._calls.repeatable
        self._checkpoint = _Settled(store, slot, max_tries=ti.max_tries)
        self._plan = Push(
            target=wanted.route,
            fingerprint=digest((content, batch_call.shape, wanted.epoch, repeatable, self._folder.uri)),
            batch_size=wanted.size,
            in_flight=1 if wanted.ordered else wanted.in_flight,
            repeatable=repeatable,
            refused=wanted.refused,
            items=wanted.items,
            retry=hook.gateway.retry,
            redact_fields=tuple(wanted.redact_fields),
            max_dead_letters=wanted.max_dead_letters,
            round=ti.max_tries,
        )

    @property
    def ends(self) -> float | None:
        """Unix time by which all calls must be over."""
        return self._calls.ends

    @ends.setter
    def ends(self, at: float | None) -> None:
        self._calls.ends = at

    @property
    def answered(self) -> int:
        """Records that were settled here: what tells a push that gets on from one that only asks."""
        return self._checkpoint.settled

    def come_back(self, place: str) -> None:
        """Nothing to do: each batch that is held back has a place of its own, which is stored with the progress."""

    def run(self) -> PushReport:
        """Push what is not settled yet.

        Raises:
            GatewayError: Another try, or this one after a wait, has to go on.
        """
        report = push(self._plan, self.offered, self._calls, self._folder, self._checkpoint, self._figures)
        report_assets(self._hook, inputs=self.lineage(report).inputs)  # the calls have reported the route
        return report

    def lineage(self, report: PushReport) -> Lineage:
        """Which data sets and dead letters went to which route."""
        offered = self.offered
        inputs = (*map(folder_of, offered.manifests), *map(letters_of, offered.letters))
        route = route_of(self._hook.gateway.base_url, self._calls.path)
        return Lineage(inputs, (replace(route, rows=report.pushed),))

    def _figures(self) -> Mapping[str, float]:
        return {"mb": round(self._calls.sent / 1e6, 1)}


class _Settled(TaskStateCheckpoint):
    """Counts the records that were settled since it was opened."""

    settled = 0
    _last = 0

    def load(self) -> dict[str, Any] | None:
        state = super().load()
        self._last = 0 if state is None else _records(state)
        return state

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.settled += max(0, _records(state) - self._last)
        self._last = _records(state)


def _records(state: dict[str, Any]) -> int:
    return int(state["accepted"]) + int(state["dead_lettered"])


def push_in_task(
    hook: GatewayHook, wanted: PushTask, name: str, wait_here: Callable[[Exception, int, float], float | None]
) -> PushReport:
    """Push from within task code.

    Args:
        hook: Whose gateway.
        wanted: What is to be pushed.
        name: Of the push within the task.
        wait_here: Seconds to wait after an error, given how often nothing came of it and since when; None to raise it.

    Raises:
        GatewayError: Another try has to go on.
        ValueError: No task is running, it has pushed under that name before, or there is nothing that could be pushed.
    """
    if problem := wanted.problem():
        raise ValueError(f"push: {problem}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"push: name must be of letters, digits, '-', '_' and '.', as it names a folder, not {name!r}")
    context = running_context()
    if context is None:
        raise ValueError(
            "push: its progress is kept in the running task, and none is running; use it within a @task or in a "
            "GatewayPushOperator"
        )
    NAMES.take(context, name)
    try:
        return _push(hook, TaskPush(hook, wanted, context, name), context, wait_here)
    except BaseException:
        NAMES.give_back(name)
        raise


def _push(
    hook: GatewayHook, pushing: TaskPush, context: Any, wait_here: Callable[[Exception, int, float], float | None]
) -> PushReport:
    time, fruitless = TaskDeadline(context, hook.gateway.task_deadline), 0
    pushing.ends = time.start(resumed=False)
    while True:
        began, before = clock.now(), pushing.answered
        try:
            return pushing.run()
        except GatewayError as error:
            fruitless = 1 if pushing.answered > before else fruitless + 1
            if error.retryable:
                time.leaves(error.retry_after or 0.0, error)
            wait = wait_here(error, fruitless, began)
            if wait is None:
                raise
            clock.sleep(wait)


def _folder(ti: Any, output_path: str | None, name: str) -> Folder:
    named = [name] if name else []
    if not output_path:
        return open_folder("/".join([task_folder_uri(ti), *named]))
    return open_folder("/".join([output_path.rstrip("/"), *map_index_segment(ti), *named]))
