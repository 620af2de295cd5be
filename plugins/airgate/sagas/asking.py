"""Asks a service, or a person, what became of a step."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from airgate.client.message import Response
from airgate.hooks.call import Call, as_call
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.selection import select
from airgate.operators.gateway import plain_result
from airgate.policy.saga.effects import Answer, Done, Question
from airgate.sagas.effect import Effect
from airgate.sagas.wiring import CallOrFunction, Lookup, StepWiring, Wiring

log = logging.getLogger(__name__)


def resolved(task: Any, asked: CallOrFunction, step: StepWiring, effect: Effect, context: Any) -> Any:
    """The call that is to be made, or what a function gives that makes none.

    Args:
        task: The running operator, which renders templates.
        asked: A call whose templates know ``effect``, or a function of the effect and of those inputs of the step that
            it has arguments for.
        step: Whose.
        effect: What is known of it.
        context: The task's.
    """
    if isinstance(asked, Call):
        fields = task.render_template(asked.to_dict(), {**context, "effect": effect})
        return as_call(fields)
    given = asked(effect, **wanted_inputs(task, asked, step.inputs, context))
    return as_call(given) if isinstance(given, Call) else given


def wanted_inputs(task: Any, function: Callable[..., Any], inputs: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Those inputs of a step, rendered, that a function has arguments for."""
    wanted = inspect.signature(function).parameters.values()
    every = any(each.kind is each.VAR_KEYWORD for each in wanted)
    named = {each.name for each in wanted}
    given = {name: value for name, value in inputs.items() if every or name in named}
    return dict(task.render_template(given, context))


def ask_service(
    task: Any, hook: GatewayHook, lookup: Lookup, step: StepWiring, effect: Effect, context: Any
) -> Done | None:
    """What the service says of a step; None where it does not know it.

    Raises:
        GatewayError: The typed error of what came instead of an answer.
        ValueError: The look-up is none, or its answer says neither.
    """
    # Imported here, as every parse of a DAG file would pay for it otherwise.
    from airgate.operators.task_call import look_up

    asked = resolved(task, lookup.ask, step, effect, context)
    if isinstance(asked, Call):
        with hook.without_keys():
            found = look_up(hook, asked, "lookup")
        if found is False:
            log.info("step %s: the service does not know it", effect.step)
            return None
        asked = found
    result = asked
    if isinstance(asked, Response):
        result = plain_result(asked) if lookup.select is None else select("lookup_filter", lookup.select, asked)
    if result in ([], {}):
        raise ValueError(
            f"the look-up of step {effect.step!r} gave {result!r}, which says neither that it happened nor that it did "
            "not: answer 404, or pick the effect with lookup_filter ('charges[0]'), where null says that it did not"
        )
    if result is None and not (isinstance(asked, Response) and lookup.select is None):
        log.info("step %s: the service does not know it", effect.step)
        return None
    log.info("step %s: the service knows it", effect.step)
    return Done(result)


CHOICES: Mapping[str, Mapping[str, str]] = {
    "happened": {"yes": "It happened", "no": "It did not happen", "leave": "Leave it"},
    "undo": {"again": "Try again", "yes": "Undone by hand", "leave": "Leave it"},
}
"""What a person may answer, by what is asked."""

_BODIES = {
    "happened": (
        "What became of step `{step}` is not known: {why}. Its idempotency key is `{key}`. Look at the service.\n\n"
        "* *It happened*: it counts as done{undone}.\n"
        "* *It did not happen*: there is nothing to undo.\n"
        "* *Leave it*: the saga ends as *needs-attention*."
    ),
    "undo": (
        "Step `{step}` could not be undone: {why}. Its idempotency key is `{key}`.\n\n"
        "* *Try again*: the undo is called once more.\n"
        "* *Undone by hand*: somebody has undone it at the service.\n"
        "* *Leave it*: the saga ends as *needs-attention*."
    ),
}


def ask_person(context: Any, wiring: Wiring, question: Question) -> None:
    """Ask a person, under Airflow's *Required Actions*; the task waits without a worker and goes on in ``answered``.

    Returns only where nobody is to be asked.
    """
    if wiring.answer_within is None:
        return
    _park(context, wiring, question)


def _park(context: Any, wiring: Wiring, question: Question) -> NoReturn:
    from airflow.sdk.exceptions import TaskAwaitingInput
    from airflow.sdk.execution_time.hitl import upsert_hitl_detail

    undone = "" if wiring.plan[question.step].pivot else " and is undone"
    key = wiring.key(context["ti"], question.step, question.epoch)
    what = "did it happen?" if question.matter == "happened" else "it could not be undone"
    upsert_hitl_detail(
        ti_id=context["ti"].id,
        options=list(CHOICES[question.matter].values()),
        subject=f"{wiring.name}: {question.step}: {what}",
        body=_BODIES[question.matter].format(step=question.step, why=question.why, key=key, undone=undone),
        params={},  # left out, it goes as null, which Airflow 3.3.2 answers with 422
    )
    tell(wiring, context, "asked", step=question.step, matter=question.matter, why=question.why)
    log.warning("step %s: a person is asked, under Required Actions", question.step)
    raise TaskAwaitingInput(method_name="answered", kwargs={"matter": question.matter}, timeout=wiring.answer_within)


def tell(wiring: Wiring, context: Any, state: str, **facts: Any) -> None:
    """Tell the saga's notifiers; one that fails is logged and keeps nobody from going on.

    Args:
        wiring: The saga's.
        context: The task's; notifiers find the saga's name, the state and the facts in it, as ``airgate_saga``.
        state: ``needs-attention``, or ``asked`` where a person is asked.
        **facts: What else they are told.
    """
    if not wiring.notifiers:
        return
    from airgate.notifications.occasion import SAGA_KEY

    told = {**context, SAGA_KEY: {"saga": wiring.name, "state": state, **facts}}
    for notifier in wiring.notifiers:
        try:
            notifier(told)
        except Exception:
            log.exception("saga %s: a notifier failed", wiring.name)


def answer_of(event: Mapping[str, Any], matter: Any) -> Answer:
    """What a person said; ``leave`` where nobody answered in time."""
    if "error" in event:
        log.warning("nobody has answered: %s", event["error"])
        return Answer(matter, "leave")
    said = list(event["chosen_options"])
    choice: Any = next((word for word, shown in CHOICES[matter].items() if [shown] == said), "leave")
    user = event.get("responded_by_user") or {}
    by = user.get("name") or user.get("id") or ""
    log.info("a person said: %s%s", ", ".join(said), f" ({by})" if by else "")
    return dataclasses.replace(Answer(matter, choice), by=str(by))
