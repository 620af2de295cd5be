"""Makes the tasks of one saga, and draws the arrows between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, XComArg

from airgate.hooks.selection import Selection
from airgate.operators.gateway import GatewayOperator
from airgate.policy.saga.plan import UNDO, Plan, Step
from airgate.sagas.begin import SagaBeginOperator
from airgate.sagas.checking import (
    check_do,
    check_not_of_the_call,
    check_own_task,
    check_task,
    check_undo,
    check_undo_waits_for_no_run,
    checked_lookup,
)
from airgate.sagas.decide import SagaDecideOperator
from airgate.sagas.foreign import as_operator, make_step, make_undo
from airgate.sagas.options import SagaOptions
from airgate.sagas.publishing import check_event
from airgate.sagas.step import SagaStepOperator
from airgate.sagas.undo import SagaUndoOperator
from airgate.sagas.verdict import SagaVerdictOperator
from airgate.sagas.verdicts import count_orders
from airgate.sagas.wiring import Lookup, StepWiring, Telling, Wiring

FOREIGN_SETTLES_IN = 60.0
"""Seconds until nothing of an operator that is not ours can arrive any more, where it has no ``execution_timeout``."""


@dataclass(slots=True)
class _Defined:
    """One step so far."""

    task: BaseOperator
    undo: Any
    undo_options: Mapping[str, Any]
    lookup: Lookup | None
    tombstone: bool
    pivot: bool
    retriable: bool
    idempotency_key: bool | None


@dataclass
class Building:
    """One saga while it is defined, within the task group that is open.

    Args:
        name: The group's id.
        options: What holds for all of its steps.
    """

    name: str
    options: SagaOptions
    _steps: dict[str, _Defined] = field(default_factory=dict)
    _last: list[str] = field(default_factory=list)
    """The steps that the next one follows."""
    _beside: list[str] | None = None
    """Within ``parallel``: the steps that were defined there."""

    def __post_init__(self) -> None:
        """Define ``journal``, ``begin`` and ``verdict``."""
        options = self.options
        self.wiring = Wiring(
            self.name,
            None if options.deadline is None else options.deadline.total_seconds(),
            options.settles_in.total_seconds(),
            options.answer_within,
            options.notifiers,
        )
        self._journal = EmptyOperator(
            task_id="journal",
            doc_md="Never runs: its XComs are the saga's journal, which outlives retries, clears and killed processes.",
        )
        self.wiring.journal_id = self._journal.task_id
        self.begin = SagaBeginOperator(task_id="begin", wiring=self.wiring, **options.patient)
        self.verdict = SagaVerdictOperator(task_id="verdict", wiring=self.wiring, **options.patient)
        self._journal >> self.begin
        self.begin.as_setup()  # type: ignore[no-untyped-call]

    def step(
        self,
        name: str,
        do: Any,
        *,
        undo: Any,
        lookup: Any,
        lookup_filter: Selection | None,
        tombstone: bool,
        pivot: bool,
        retriable: bool,
        inputs: Mapping[str, Any] | None,
        after: Sequence[str | XComArg] | None,
        honours_keys: bool | None,
        gateway_conn_id: str | None,
        event: Telling | None,
        undo_options: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> XComArg:
        """Define a step; see ``SagaSteps.step``."""
        where = f"step {name!r}"
        if self.wiring.chosen is not None:
            raise ValueError(f"saga {self.name!r}: {where} comes too late, the saga is closed; define it in the `with`")
        if problem := Step(name).problem():
            raise ValueError(problem)
        if name in self._steps:
            raise ValueError(f"two steps have the name {name}; each needs one of its own")
        if undo_options and not undo:
            raise ValueError(f"{where}: undo_options are for an undo, and there is none; leave them out")
        found = checked_lookup(name, lookup, lookup_filter, inputs)
        conn_id = gateway_conn_id or self.options.gateway_conn_id
        honours = self.options.honours_keys if honours_keys is None else honours_keys
        task = self._task(name, do, conn_id, honours, retriable, inputs, options)
        check_task(where, task)
        if isinstance(task, SagaStepOperator) and (pivot or retriable):
            task.custom_operator_name += " (pivot)" if pivot else " (only forward)"  # which the graph shows
        of_undo = dict(undo_options or {})
        undo_event = of_undo.pop("event", None)  # the saga's own word; the others are the operator's
        self._steps[name] = _Defined(task, undo, of_undo, found, tombstone, pivot, retriable, honours)
        self.wiring.steps[name] = StepWiring(task.task_id, conn_id, dict(inputs or {}), found, event, undo_event)
        check_event(where, event, task.outlets, inputs or {})
        earlier = self._last if after is None else self._after(where, after)
        if earlier:
            for each in earlier:
                self._steps[each].task >> task
        else:
            self.begin >> task
        if self._beside is None:
            self._last = [name]
        else:
            self._beside.append(name)
        return task.output

    def _task(
        self,
        name: str,
        do: Any,
        conn_id: str,
        honours: bool | None,
        retriable: bool,
        inputs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> BaseOperator:
        saga = self.options
        tries = {
            "retries": saga.forward_retries if retriable else saga.retries,
            "retry_delay": saga.retry_delay,
            "max_retry_delay": saga.max_retry_delay,
        }
        if retriable:
            tries["retry_exponential_backoff"] = 2.0
        where = f"step {name!r}"
        if (operator := as_operator(where, do)) is not None:
            check_own_task(where, operator, name, options, inputs)
            if isinstance(operator, GatewayOperator) and operator.idempotency_key is None:
                operator.idempotency_key = honours
            timeout = operator.execution_timeout
            limit = FOREIGN_SETTLES_IN if timeout is None else timeout.total_seconds()
            make_step(self.wiring, name, operator, limit + saga.settles_in.total_seconds(), honours)
            return operator
        check_do(where, do, inputs)
        check_not_of_the_call(where, options)
        try:
            return SagaStepOperator(
                task_id=name,
                wiring=self.wiring,
                step=name,
                do=do,
                inputs=inputs,
                gateway_conn_id=conn_id,
                **{"idempotency_key": honours, **tries, **options},
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from None

    def _after(self, where: str, after: Sequence[str | XComArg]) -> list[str]:
        """The names of the steps that one follows by its own word."""
        if isinstance(after, str) or not isinstance(after, Sequence):
            raise TypeError(f"{where}: after must be a list of steps, such as after=[{after!r}]")
        return [self._named(where, each) for each in after]

    def _named(self, where: str, step: str | XComArg) -> str:
        """The name of a step that is given by name or by result."""
        name = step
        if isinstance(step, XComArg):
            task = getattr(step, "operator", None)
            name = next((name for name, each in self._steps.items() if each.task is task), "")
        if not isinstance(name, str) or name not in self._steps:
            raise ValueError(f"{where} comes after {step!r}, which is no step of this saga so far")
        return name

    @contextmanager
    def parallel(self) -> Iterator[None]:
        """Define steps that run side by side."""
        if self._beside is not None:
            raise ValueError("parallel() within parallel(): use after= to say what a step follows")
        self._beside = []
        yield
        self._last, self._beside = self._beside or self._last, None

    def finish(self) -> None:
        """Check the saga, and define what undoes it.

        Raises:
            ValueError: The saga is wrong.
        """
        try:
            self._check_dag()
            plan = self._plan()
        except ValueError as error:
            raise ValueError(f"saga {self.name!r}: {error}") from None
        self.wiring.chosen = plan
        self._hold_order(plan)
        undos = {step.name: self._undo(step.name) for step in plan.undoable}
        self.wiring.undo_ids = {name: task.task_id for name, task in undos.items()}
        decide = SagaDecideOperator(task_id="decide", wiring=self.wiring, **self.options.patient)
        followed = {name for step in plan.steps for name in step.after}
        for name, defined in self._steps.items():
            if name not in followed:
                defined.task >> decide
        for name, task in undos.items():
            earlier = [undos[each] for each in sorted(plan.undone_first(name))]
            for each in earlier or [decide]:
                each >> task
            if not any(name in plan.undone_first(other) for other in undos):
                task >> self.verdict
        if not undos:
            decide >> self.verdict
        for task in (decide, *undos.values()):
            task.as_teardown(setups=self.begin)
        # Without setups: with them, a run that is ended while it is queued skips this too and comes out green.
        self.verdict.as_teardown(on_failure_fail_dagrun=True)
        count_orders(self.name, self.verdict, self.options.patient)

    def _hold_order(self, plan: Plan) -> None:
        """Let a step follow those before it also where only other tasks of the DAG, with rules of their own, do."""
        for step in plan.steps:
            task = self._steps[step.name].task
            for each in sorted(step.after):
                before = self._steps[each].task
                if before.task_id not in task.upstream_task_ids:
                    before >> task

    def _check_dag(self) -> None:
        dag = self.begin.dag
        if dag.dagrun_timeout is not None:
            raise ValueError(
                "the DAG has a dagrun_timeout, at which Airflow skips what would undo the saga; take it away and give "
                "the saga a deadline"
            )
        if getattr(dag, "fail_fast", False):
            raise ValueError("the DAG has fail_fast, by which Airflow ends what would undo the saga; take it away")

    def _plan(self) -> Plan:
        ids = {defined.task.task_id: name for name, defined in self._steps.items()}
        return Plan(
            tuple(
                Step(
                    name,
                    frozenset(_steps_before(defined.task, ids)),
                    None if defined.undo is None else defined.undo is not False,
                    defined.lookup is not None,
                    defined.tombstone,
                    defined.pivot,
                    defined.retriable,
                )
                for name, defined in self._steps.items()
            ),
            self.options.halt_on_failed_undo,
        )

    def _undo(self, name: str) -> BaseOperator:
        task, wired, where = self._undo_task(name), self.wiring.steps[name], f"the undo of step {name!r}"
        check_task(where, task)
        check_undo_waits_for_no_run(where, task)
        check_event(where, wired.undo_event, task.outlets, wired.inputs)
        return task

    def _undo_task(self, name: str) -> BaseOperator:
        defined, where = self._steps[name], f"the undo of step {name!r}"
        options = {**self.options.patient, **defined.undo_options}
        if (operator := as_operator(where, defined.undo)) is not None:
            check_own_task(where, operator, UNDO + name, defined.undo_options, None)
            make_undo(self.wiring, name, operator)
            return operator
        check_undo(where, defined.undo, self.wiring.steps[name].inputs)
        check_not_of_the_call(where, defined.undo_options)
        try:
            return SagaUndoOperator(
                task_id=UNDO + name,
                wiring=self.wiring,
                step=name,
                undo=defined.undo,
                gateway_conn_id=self.wiring.steps[name].conn_id,
                **{"idempotency_key": defined.idempotency_key, **options},
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from None


def _steps_before(task: BaseOperator, ids: Mapping[str, str]) -> set[str]:
    """The steps that a task follows next, also behind tasks of the DAG that are none."""
    found: set[str] = set()
    seen: set[str] = set()
    left = list(task.upstream_list)
    while left:
        each = left.pop()
        if each.task_id in seen:
            continue
        seen.add(each.task_id)
        if each.task_id in ids:
            found.add(ids[each.task_id])
        else:
            left.extend(each.upstream_list)
    return found
