"""`decide`: whether a saga is complete, goes back, or can only go forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import with_retry_policy
from airgate.policy.saga.deciding import decide
from airgate.policy.saga.effects import Answer, LookUp, Marked, Question, Wait
from airgate.sagas.asking import answer_of, ask_person, ask_service
from airgate.sagas.driving import carry_out
from airgate.sagas.states import states_of_steps
from airgate.sagas.waiting import wait_until
from airgate.sagas.wiring import Wiring

if TYPE_CHECKING:
    from airflow.sdk import Context

_DOC = """Runs once no step runs any more, whatever became of them, and says whether the saga is complete, goes back, or
can only go forward. The undos are skipped where there is nothing to undo."""
"""What its page in the UI says."""


class SagaDecideOperator(BaseOperator):
    """Settles what became of the pivot, and says which way the saga goes; skips the undos when there is none to do."""

    custom_operator_name = "saga decision"
    ui_color = "#fff3c4"
    shallow_copy_attrs = ("wiring",)

    def __init__(self, *, wiring: Wiring, **kwargs: Any) -> None:
        super().__init__(**with_retry_policy({"doc_md": _DOC, **kwargs}))
        self.wiring = wiring

    def execute(self, context: Context) -> None:
        """Decide."""
        self._decide(context, None)

    def resume(self, context: Context, event: Any = None) -> None:
        """Go on after a wait that was spent in the triggerer."""
        self._decide(context, None)

    def answered(self, context: Context, event: dict[str, Any], matter: str) -> None:
        """Go on after a person was asked."""
        self._decide(context, answer_of(event, matter))

    def _decide(self, context: Context, answer: Answer | None) -> None:
        from airflow.sdk.exceptions import DownstreamTasksSkipped

        wiring, ti = self.wiring, context["ti"]
        acts = {
            Marked: lambda _: self._succeeded(ti),
            LookUp: lambda effect: self._look_up(effect, context),
            Wait: lambda effect: wait_until(self, effect.until),
            Question: lambda effect: ask_person(context, wiring, effect),
        }
        decision = carry_out(decide(wiring.plan, answer), wiring.journal(ti), acts)
        self.log.info("saga %s: %s %s", wiring.name, decision.direction, f"({decision.why})" if decision.why else "")
        ti.xcom_push(key="return_value", value={"direction": decision.direction, "why": decision.why})
        if decision.direction in {"complete", "forward"} and wiring.undo_ids:
            # Saves a process for each undo, all of which would find that there is nothing to do.
            index = -1 if ti.map_index is None else ti.map_index
            tasks = [(task_id, index) for task_id in wiring.undo_ids.values()]
            raise DownstreamTasksSkipped(tasks=tasks)  # type: ignore[no-untyped-call]

    def _succeeded(self, ti: Any) -> set[str]:
        """The steps whose tasks stand as succeeded."""
        return {name for name, state in states_of_steps(self.wiring, ti).items() if state == "success"}

    def _look_up(self, effect: LookUp, context: Context) -> Any:
        wired = self.wiring.steps[effect.step]
        assert wired.lookup is not None
        what = self.wiring.effect(context["ti"], effect.step, effect.epoch)
        with GatewayHook(wired.conn_id) as hook:
            return ask_service(self, hook, wired.lookup, wired, what, context)
