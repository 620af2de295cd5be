"""`begin`: which epoch of the saga holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airgate.hooks.retry_policy import with_retry_policy
from airgate.policy.errors import SagaClosed
from airgate.policy.ingress_cancel import PIVOT
from airgate.policy.saga.beginning import begin
from airgate.policy.saga.entries import Epoch, current_epoch, last_epoch
from airgate.sagas.driving import carry_out
from airgate.sagas.states import states_of_steps
from airgate.sagas.wiring import Wiring

if TYPE_CHECKING:
    from airflow.sdk import Context


class SagaBeginOperator(BaseOperator):
    """Begins a saga, or goes on with the one that is under way."""

    custom_operator_name = "saga begin"
    ui_color = "#e8e8e8"
    shallow_copy_attrs = ("wiring",)

    def __init__(self, *, wiring: Wiring, **kwargs: Any) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.wiring = wiring

    def execute(self, context: Context) -> dict[str, Any]:
        """Give the epoch."""
        epoch = self._epoch(context["ti"])
        self.log.info("saga %s: epoch %d", self.wiring.name, epoch.number)
        return dict(epoch.entry())

    def _epoch(self, ti: Any) -> Epoch:
        journal = self.wiring.journal(ti)
        if any(states_of_steps(self.wiring, ti).values()):
            # Airflow clears a setup along with any task behind it; only that of all steps asks for everything anew.
            earlier = carry_out(last_epoch(), journal)
            if earlier is not None:
                self.log.info("not all steps are cleared, so nothing is wanted anew")
                return earlier
        if (pivot := self.wiring.plan.pivot) is not None:
            # For those who have no plan, and must know whether the saga can still go back.
            journal.write(PIVOT, {"step": pivot.name})
        try:
            return carry_out(begin(self.wiring.deadline), journal)
        except SagaClosed as closed:
            # A failed setup would keep the undos from being tried again; the steps are refused by themselves.
            self.log.warning("%s", closed)
            return carry_out(current_epoch(), journal)
