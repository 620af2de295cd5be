"""How all sagas of a mapped group ended; one task, so that a run that never came to its orders is not green either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airgate.hooks.retry_policy import with_retry_policy
from airgate.sagas.verdict import VIEW_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context


class SagaVerdictsOperator(BaseOperator):
    """Counts the verdicts of a mapped saga, and fails the run unless all are completed.

    Args:
        verdict_id: The mapped task whose verdicts are counted.
        sources: Tasks whose results the saga is mapped over.
        **kwargs: Airflow's.
    """

    custom_operator_name = "saga verdicts"
    ui_color = "#dcebd6"

    def __init__(self, *, verdict_id: str, sources: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.verdict_id = verdict_id
        self.sources = list(sources)

    def execute(self, context: Context) -> dict[str, Any]:
        """Give how many ended in each state, and the map indexes of those that are not completed.

        Raises:
            AirflowFailException: Not all are completed.
        """
        from airflow.sdk.execution_time.xcom import XCom

        ti = context["ti"]
        where = {"dag_id": ti.dag_id, "run_id": ti.run_id}
        views = XCom.get_all(key=VIEW_KEY, task_id=self.verdict_id, **where) or []
        expected = self._expected(ti)
        if expected is None:
            raise AirflowFailException("the run was ended before its orders were known; nothing was sent")
        # A verdict that was never reached has no view.
        counted = Counter(view["state"] for view in views)
        counted["needs-attention"] += max(0, expected - len(views))
        others = {view["map_index"]: view["state"] for view in views if view["state"] != "completed"}
        shown = {"orders": expected, **{state: count for state, count in counted.items() if count}}
        ti.xcom_push(
            key=VIEW_KEY, value={**shown, "not_completed": {str(index): state for index, state in others.items()}}
        )
        said = ", ".join(f"{count} {state}" for state, count in shown.items() if state != "orders") or "no orders"
        self.log.info("%d sagas: %s", expected, said)
        for index, state in sorted(others.items()):
            self.log.info("  map index %d: %s", index, state)
        if counted["completed"] != expected:
            raise AirflowFailException(f"of {expected} sagas not all are completed: {said}")
        return shown

    def _expected(self, ti: Any) -> int | None:
        """How many sagas there are, None where the run was ended before that was known."""
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=[self.verdict_id, *self.sources])
        found: dict[str, Any] = states.get(ti.run_id, {})
        expanded = sum(name.startswith(f"{self.verdict_id}_") for name in found)
        if expanded:
            return expanded
        if any(state != "success" for name, state in found.items() if name != self.verdict_id):
            return None
        return 0


def count_orders(saga: str, verdict: BaseOperator, options: Mapping[str, Any]) -> None:
    """Where a saga is mapped, add the task that counts its verdicts, beside what is mapped.

    A mapped task of a run that is ended while it is queued is skipped before anybody knows how many there are of it, so
    one that is not mapped has to keep such a run from coming out green.

    Args:
        saga: The saga's name.
        verdict: Its last task.
        options: Arguments of the new task.
    """
    mapped = list(verdict.iter_mapped_task_groups())
    if not mapped:
        return
    outermost = mapped[-1]
    inner = [part for part in saga.removeprefix(outermost.group_id or "").split(".") if part]
    verdicts = SagaVerdictsOperator(
        task_id="_".join([outermost.label or "", *inner, "verdicts"]),
        task_group=outermost.parent_group,
        verdict_id=verdict.task_id,
        sources=sorted({task.task_id for group in mapped for task in group.iter_mapped_dependencies()}),
        **options,
    )
    verdict >> verdicts
    # Like the verdict: without setups, so that it also runs in a run that is ended while it is queued.
    verdicts.as_teardown(on_failure_fail_dagrun=True)
