"""`begin`: which epoch of the saga holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airgate.hooks.retry_policy import with_retry_policy
from airgate.policy.saga.beginning import begin
from airgate.sagas.driving import carry_out
from airgate.sagas.wiring import Wiring

if TYPE_CHECKING:
    from airflow.sdk import Context


class SagaBeginOperator(BaseOperator):
    """Begins a saga, or goes on with the one that is under way."""

    ui_color = "#e8e8e8"
    shallow_copy_attrs = ("wiring",)

    def __init__(self, *, wiring: Wiring, **kwargs: Any) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.wiring = wiring

    def execute(self, context: Context) -> dict[str, Any]:
        """Give the epoch."""
        epoch = carry_out(begin(self.wiring.deadline), self.wiring.journal(context["ti"]))
        self.log.info("saga %s: epoch %d", self.wiring.name, epoch.number)
        return dict(epoch.entry())
