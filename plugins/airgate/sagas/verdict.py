"""`verdict`: how a saga ended. The run is green only if every saga of it is completed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airgate.hooks.retry_policy import with_retry_policy
from airgate.policy.errors import NeedsAttention
from airgate.policy.saga.verdict import View, verdict
from airgate.sagas.asking import tell
from airgate.sagas.driving import carry_out
from airgate.sagas.wiring import Wiring

if TYPE_CHECKING:
    from airflow.sdk import Context

VIEW_KEY = "saga"
"""The XCom of ``verdict`` that holds how the saga ended, also when it failed."""

_DOC = """Says how the saga ended: *completed*, *compensated* or *needs-attention*. Red unless it is completed, as
the run is. Every step stands in the XCom `saga`; `airflow gateway saga show` prints it."""
"""What its page in the UI says."""


class SagaVerdictOperator(BaseOperator):
    """Says how a saga ended, and fails the run unless it is completed."""

    custom_operator_name = "saga verdict"
    ui_color = "#dcebd6"
    shallow_copy_attrs = ("wiring",)

    def __init__(self, *, wiring: Wiring, **kwargs: Any) -> None:
        super().__init__(**with_retry_policy({"doc_md": _DOC, **kwargs}))
        self.wiring = wiring

    def execute(self, context: Context) -> dict[str, Any]:
        """Give the saga's end, step by step.

        Raises:
            AirflowFailException: It was compensated.
            NeedsAttention: A person has to look.
        """
        wiring, ti = self.wiring, context["ti"]
        view = carry_out(verdict(wiring.plan, lambda step, epoch: wiring.key(ti, step, epoch)), wiring.journal(ti))
        shown = {"saga": wiring.name, "map_index": -1 if ti.map_index is None else ti.map_index, **view.to_json()}
        ti.xcom_push(key=VIEW_KEY, value=shown)
        self._log(view)
        if view.state == "completed":
            return shown
        if view.state == "compensated":
            raise AirflowFailException(f"saga {wiring.name} was compensated, nothing of it is left: {view.why}")
        tell(wiring, context, view.state, why=view.why)
        raise NeedsAttention(f"saga {wiring.name} needs a person: {view.why}")

    def _log(self, view: View) -> None:
        self.log.info("saga %s, epoch %d: %s %s", self.wiring.name, view.epoch, view.state, view.why)
        for step in view.steps:
            times = {
                name: value
                for name in ("sent_at", "done_at", "undone_at")
                if (value := getattr(step, name)) is not None
            }
            self.log.info(
                "  %s: %s%s%s %s",
                *(step.name, step.state, f" ({step.why})" if step.why else ""),
                f", key {step.key}" if step.key else "",
                json.dumps(times) if times else "",
            )
