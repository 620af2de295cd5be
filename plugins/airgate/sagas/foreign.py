"""Steps and undos that are operators of any kind, or task functions: their code runs between the journal's entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped

from airgate.client import clock
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.writes import ANEW_KEY, EPOCH_KEY
from airgate.operators.gateway import GatewayOperator
from airgate.policy.errors import GatewayError, OutcomeUnknown
from airgate.policy.saga.effects import Done, LookUp, NothingToUndo, Question, Wait
from airgate.policy.saga.entries import current_epoch
from airgate.policy.saga.forward import Started, finish, going_on, start
from airgate.policy.saga.undoing import effect_to_undo, note_undone
from airgate.sagas.asking import ask_service
from airgate.sagas.driving import Acts, carry_out
from airgate.sagas.effect import CONTEXT_KEY
from airgate.sagas.journal import XComJournal
from airgate.sagas.publishing import publish
from airgate.sagas.repeating import may_run_again
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


def make_step(wiring: Wiring, name: str, operator: BaseOperator, settles_in: float, honours: bool | None) -> None:
    """Let an operator write to the journal before and after it runs.

    Args:
        wiring: The saga's.
        name: The step's.
        operator: What does it.
        settles_in: Seconds until nothing of a try can arrive any more.
        honours: Whether its code may run again, by the word of the step or the saga; None for no word.
    """

    def before(context: Any) -> None:
        journal = wiring.journal(context["ti"])
        started = None
        if _goes_on(context):
            started = carry_out(going_on(name, settles_in, _try_of(context)), journal)
        if started is None:
            started = _begun(wiring, name, settles_in, honours, context, journal)
        context[_STARTED] = started
        if isinstance(started, Done):
            publish(context, wiring, name, "done", started.result)
            _end_with(context, started.result)
        context[EPOCH_KEY] = str(started.epoch.number)
        if getattr(context["task"], "epoch", None) == "":
            context["task"].epoch = context[EPOCH_KEY]

    def after(context: Any, result: Any = None) -> None:
        started = context.get(_STARTED)
        if isinstance(started, Started):
            carry_out(finish(started, Done(result)), wiring.journal(context["ti"]))
            publish(context, wiring, name, "done", result)

    _wrap(operator, before, after)


def _goes_on(context: Any) -> bool:
    """Whether Airflow has called this try before; it does so each time that a task goes on after a wait.

    It also sends a try back that it could not even start, so this does not say that any of its code has run.
    """
    server = getattr(context["ti"], "_ti_context_from_server", None)  # no word of it is in the context
    return bool(getattr(server, "next_method", None) or context.get("task_reschedule_count"))


def _try_of(context: Any) -> str:
    """What is the same each time that Airflow calls a try, and another one for each."""
    return str(context["ti"].id)


def _begun(
    wiring: Wiring, name: str, settles_in: float, honours: bool | None, context: Any, journal: XComJournal
) -> Started | Done:
    """Get the word that the code may run, or what an earlier try did, for which the service may have to be asked.

    Raises:
        AirflowFailException: It may not, and no other try may either.
    """
    again = may_run_again(context, honours, wiring.steps[name].conn_id)
    program = start(wiring.plan, name, settles_in, repeatable=again, by=_try_of(context))
    try:
        started = carry_out(program, journal, _acts(wiring, name, context))
    except GatewayError as error:
        if error.retryable:
            raise
        cure = "; give it a lookup, or say honours_keys=True where its code may run twice"
        said = cure if isinstance(error, OutcomeUnknown) else ""
        # An operator that is not ours has no policy that would keep it from trying in vain.
        raise AirflowFailException(f"{error}{said}") from error
    if isinstance(started, Started) and started.again and not again:
        context[ANEW_KEY] = True  # the service was asked, and it did not happen
    return started


def _acts(wiring: Wiring, name: str, context: Any) -> Acts:
    """In front of code that is not ours a wait cannot be spent elsewhere, and a person not be asked."""
    wired = wiring.steps[name]

    def look_up(effect: LookUp) -> Any:
        assert wired.lookup is not None
        what = wiring.effect(context["ti"], name, effect.epoch)
        with GatewayHook(wired.conn_id) as hook:
            return ask_service(context["task"], hook, wired.lookup, wired, what, context)

    return {
        LookUp: look_up,
        Wait: lambda effect: clock.sleep(max(0.0, effect.until - clock.now())),
        Question: lambda _: None,
    }


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
    """Let an operator run only when there is something to undo, and write that it did.

    An undo does no harm when it is done twice, so one whose answer was lost is sent again.
    """
    if isinstance(operator, GatewayOperator) and operator.idempotency_key is None:
        operator.idempotency_key = True

    def before(context: Any) -> None:
        ti, acts = context["ti"], _acts(wiring, name, context)
        try:
            found = carry_out(effect_to_undo(wiring.plan, name), wiring.journal(ti), acts)
        except NothingToUndo as nothing:
            raise AirflowSkipException(f"step {name}: {nothing}") from None
        context[CONTEXT_KEY] = wiring.effect(ti, name, found.epoch.number, found.result)
        context[EPOCH_KEY] = str(found.epoch.number)
        context[ANEW_KEY] = not _goes_on(context)

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
