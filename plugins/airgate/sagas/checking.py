"""Refuses, while a DAG is parsed, what a step is given and cannot work."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow.sdk import BaseOperator, TriggerRule

from airgate.hooks.call import Call
from airgate.hooks.selection import Selection, check_selection
from airgate.policy.idempotency import SAFE_METHODS
from airgate.sagas.wiring import Lookup

_OF_THE_CALL = frozenset({field.name for field in dataclasses.fields(Call)} - {"name", "epoch", "expect"}) | {"query"}
_OWN = {
    "idempotency_key": "a step's key is made by the saga, which finds the effect by it; say honours_keys instead",
    "reconcile": "a saga asks with lookup=…; leave it out",
    "epoch": "a saga gives its calls epoch itself; leave it out",
    "task_id": "a task has its step's name; leave it out",
}
"""What the saga itself says to a task, and what to say instead."""


def check_do(where: str, do: Any, inputs: Mapping[str, Any] | None) -> None:
    """Refuse what is neither a call nor a function of these inputs.

    Raises:
        TypeError: It is something else.
        ValueError: The call, or the function's arguments.
    """
    if isinstance(do, Call):
        if inputs:
            raise ValueError(f"{where}: inputs are for functions; put results of steps into the call's own fields")
        check_key(where, do)
        return
    if not callable(do):
        raise TypeError(f"{where}: do must be a Call, a function, an operator or the result of a task function")
    _check_arguments(f"{where}: do", do, inputs or {}, needless=True)


def check_undo(where: str, undo: Any, inputs: Mapping[str, Any]) -> None:
    """Refuse what cannot undo a step with these inputs.

    Raises:
        TypeError: It is neither a call nor a function.
        ValueError: The call, or the function's arguments.
    """
    if isinstance(undo, Call):
        _check_call(where, undo)
    elif callable(undo):
        _check_of_effect(where, undo, inputs)
    else:
        raise TypeError(f"{where} must be a Call, a function, an operator, or False")


def checked_lookup(name: str, lookup: Any, select: Selection | None, inputs: Mapping[str, Any] | None) -> Lookup | None:
    """The look-up of a step, None without one.

    Raises:
        TypeError: It is neither a call nor a function.
        ValueError: It is no look-up, or its filter is for nothing.
    """
    where = f"step {name!r}"
    if lookup is None:
        if select is not None:
            raise ValueError(f"{where}: lookup_filter is for the answer of a lookup, and there is none")
        return None
    if isinstance(lookup, Call):
        _check_call(f"{where}: lookup", lookup)
        if lookup.method and lookup.method.upper() not in SAFE_METHODS and "{" not in lookup.method:
            raise ValueError(f"{where}: lookup must ask with GET or HEAD, not {lookup.method}")
    elif callable(lookup):
        _check_of_effect(f"the lookup of {where}", lookup, inputs or {})
    else:
        raise TypeError(f"{where}: lookup must be a Call or a function")
    try:
        check_selection("lookup_filter", select)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return Lookup(lookup, select)


def check_not_of_the_call(where: str, options: Iterable[str]) -> None:
    """Refuse options of an operator that belong into the call, or that the saga gives itself.

    Raises:
        ValueError: Naming the first of them.
    """
    for option in options:
        if option in _OWN:
            raise ValueError(f"{where}: {option}: {_OWN[option]}")
        if option in _OF_THE_CALL:
            raise ValueError(f"{where}: {option} is part of the call; write it there, Call(…, {option}=…)")


def check_own_task(
    where: str,
    operator: BaseOperator,
    task_id: str,
    options: Mapping[str, Any],
    inputs: Mapping[str, Any] | None,
) -> None:
    """Refuse an operator that cannot stand for a step, or for its undo.

    Raises:
        ValueError: Its task id, or what is given beside it.
    """
    own = operator.task_id.rpartition(".")[2]
    if own != task_id:
        raise ValueError(f"{where}: its task has the id {own!r}; give it task_id={task_id!r}")
    if options or inputs:
        given = ", ".join([*options, *(["inputs"] if inputs else [])])
        raise ValueError(f"{where} is a task of its own: give {given} to the task")
    for name in ("epoch", "idempotency_key"):
        if isinstance(given_text := getattr(operator, name, None), str) and given_text:
            raise ValueError(f"{where}: {name}: {_OWN[name]}")


def check_task(where: str, task: BaseOperator) -> None:
    """Refuse a task, of whatever kind, that would run when the saga does not say so.

    Raises:
        ValueError: Naming the argument and the cure.
    """
    if task.is_setup or task.is_teardown:
        raise ValueError(f"{where}: its task is a setup or teardown, and the saga says that itself; leave it out")
    if task.trigger_rule != TriggerRule.ALL_SUCCESS:
        raise ValueError(
            f"{where}: trigger_rule={task.trigger_rule.value!r} would run it whatever became of what it rests on; "
            "leave it out, here and of default_args: the saga says when its tasks run, and after= what a step follows"
        )
    if getattr(task, "start_from_trigger", False):
        raise ValueError(
            f"{where}: start_from_trigger begins it in the triggerer, before the saga's journal knows of it; let the "
            "task itself defer, with start_from_trigger=False"
        )


def check_undo_waits_for_no_run(where: str, task: BaseOperator) -> None:
    """Refuse an undo that waits for other runs, whose undo may never come.

    Raises:
        ValueError: Naming the argument.
    """
    for name in ("depends_on_past", "wait_for_downstream"):
        if getattr(task, name):
            raise ValueError(
                f"{where}: {name} would let it wait for another run, maybe for ever; give its task {name}=False"
            )


def check_key(where: str, call: Call) -> None:
    """Refuse a call under a key of its own: its effect would not be found again by the saga's.

    Raises:
        ValueError: It has one.
    """
    own = isinstance(call.idempotency_key, str)
    if own:
        raise ValueError(f"{where}: idempotency_key: {_OWN['idempotency_key']}")


def check_first(where: str, first: str, function: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    """Refuse a function that does not take one thing first, and inputs of the step by name.

    Raises:
        ValueError: Its arguments.
    """
    parameters = _parameters(function)
    if parameters is None:
        return
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if not parameters or parameters[0].kind not in positional | {inspect.Parameter.VAR_POSITIONAL}:
        raise ValueError(f"{where} must take {first} as its first argument")
    _check_arguments(where, function, inputs, skip=1)


def _check_call(where: str, call: Call) -> None:
    if problem := call.problem():
        raise ValueError(f"{where}: {problem}")


def _check_of_effect(where: str, function: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    """A function whose first argument is the effect; others are inputs of the step."""
    check_first(where, "the effect", function, inputs)


def _check_arguments(
    where: str, function: Callable[..., Any], inputs: Mapping[str, Any], *, skip: int = 0, needless: bool = False
) -> None:
    """Refuse arguments that nobody gives, and with ``needless`` inputs that nobody takes."""
    parameters = _parameters(function)
    if parameters is None:
        return
    several = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    named = {each.name: each for each in parameters[skip:] if each.kind not in several}
    wanted = [name for name, each in named.items() if each.default is each.empty and name not in inputs]
    if wanted:
        raise ValueError(
            f"{where} wants {_and(wanted)}, which inputs of the step must give: inputs={{{wanted[0]!r}: …}}"
        )
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    if needless and not takes_all and (left := [name for name in inputs if name not in named]):
        raise ValueError(f"{where} has no argument {_and(left)}; leave it out of inputs, or give the function one")


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """None where nobody can say, as of some that are written in C."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _and(names: list[str]) -> str:
    return " and ".join(map(repr, names))
