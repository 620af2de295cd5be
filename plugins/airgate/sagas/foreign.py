"""Steps and undos that are operators of any kind, or task functions: their code runs between the journal's entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from airgate.client import clock
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.writes import EPOCH_KEY
from airgate.policy.saga.effects import Done, LookUp, NothingToUndo, Question, Wait
from airgate.policy.saga.entries import current_epoch
from airgate.policy.saga.forward import Started, finish, start
from airgate.policy.saga.undoing import effect_to_undo, note_undone
from airgate.sagas.asking import ask_service
from airgate.sagas.driving import carry_out
from airgate.sagas.effect import CONTEXT_KEY
from airgate.sagas.publishing import publish
from airgate.sagas.wiring import Wiring

_STARTED = "airgate_saga_started"
"""Name in the context of a step's task."""


def as_operator(what: str, given: Any) -> BaseOperator | None:
    """The operator that stands for a step: itself, or the one behind the result of a task function.

    Raises:
        ValueError: It is mapped.
    """
    operator = getattr(given, "operator", given)
    if isinstance(operator, BaseOperator):
        return operator
    if getattr(operator, "is_mapped", False):
        raise ValueError(f"{what}: a mapped task cannot be a step; map the saga, or let one task do all of it")
    return None


def make_step(wiring: Wiring, name: str, operator: BaseOperator, settles_in: float) -> None:
    """Let an operator write to the journal before and after it runs."""

    def before(context: Any) -> None:
        journal = wiring.journal(context["ti"])
        epoch = str(carry_out(current_epoch(), journal).number)
        started = context[_STARTED] = carry_out(start(wiring.plan, name, settles_in), journal)
        if isinstance(started, Done):
            publish(context, wiring, name, "done", started.result)
            _end_with(context, started.result)
        context[EPOCH_KEY] = epoch
        if getattr(context["task"], "epoch", None) == "":
            context["task"].epoch = epoch

    def after(context: Any, result: Any = None) -> None:
        started = context.get(_STARTED)
        if isinstance(started, Started):
            carry_out(finish(started, Done(result)), wiring.journal(context["ti"]))
            publish(context, wiring, name, "done", result)

    _wrap(operator, before, after)


def _end_with(context: Any, result: Any) -> NoReturn:
    """End the task as a success without running its code, as an earlier try has done all of it."""
    ti, task = context["ti"], context["task"]
    if task.do_xcom_push:
        if task.multiple_outputs and isinstance(result, Mapping):
            for name, value in result.items():
                ti.xcom_push(key=name, value=value)
        ti.xcom_push(key="return_value", value=result)
    # The only thing that ends a task well before it has run; no task is skipped by it.
    raise DownstreamTasksSkipped(tasks=[])  # type: ignore[no-untyped-call]


def make_undo(wiring: Wiring, name: str, operator: BaseOperator) -> None:
    """Let an operator run only when there is something to undo, and write that it did."""

    def before(context: Any) -> None:
        ti, wired = context["ti"], wiring.steps[name]

        def look_up(effect: LookUp) -> Any:
            assert wired.lookup is not None
            what = wiring.effect(ti, name, effect.epoch)
            with GatewayHook(wired.conn_id) as hook:
                return ask_service(context["task"], hook, wired.lookup, wired, what, context)

        # In front of code that is not ours a wait cannot be spent elsewhere, and a person not be asked.
        acts = {
            LookUp: look_up,
            Wait: lambda effect: clock.sleep(max(0.0, effect.until - clock.now())),
            Question: lambda _: None,
        }
        try:
            found = carry_out(effect_to_undo(wiring.plan, name), wiring.journal(ti), acts)
        except NothingToUndo as nothing:
            raise AirflowSkipException(f"step {name}: {nothing}") from None
        context[CONTEXT_KEY] = wiring.effect(ti, name, found.epoch.number, found.result)
        context[EPOCH_KEY] = str(found.epoch.number)

    def after(context: Any, result: Any = None) -> None:
        journal = wiring.journal(context["ti"])
        epoch = carry_out(current_epoch(), journal)
        carry_out(note_undone(epoch, name, "undone"), journal)
        publish(context, wiring, name, "undone", result)

    _wrap(operator, before, after)


def _wrap(operator: BaseOperator, before: Callable[..., None], after: Callable[..., None]) -> None:
    own_before, own_after = operator._pre_execute_hook, operator._post_execute_hook

    def pre_execute(context: Any) -> None:
        before(context)
        if own_before is not None:
            own_before(context)

    def post_execute(context: Any, result: Any = None) -> None:
        after(context, result)
        if own_after is not None:
            own_after(context, result)

    operator._pre_execute_hook, operator._post_execute_hook = pre_execute, post_execute
