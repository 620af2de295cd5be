"""The undo of one step that is a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airgate.hooks.call import Call, as_call
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.writes import forget_write
from airgate.operators.gateway import GatewayOperator
from airgate.policy.errors import GatewayError, OutcomeUnknown
from airgate.policy.saga.effects import Answer, Done, LookUp, NothingToUndo, Question, Undo, Unknown, Wait
from airgate.policy.saga.undoing import undo
from airgate.sagas.asking import answer_of, ask_person, ask_service, resolved
from airgate.sagas.driving import carry_out
from airgate.sagas.publishing import publish
from airgate.sagas.step import is_repeatable, with_defaults
from airgate.sagas.waiting import wait_until
from airgate.sagas.wiring import CallOrFunction, Wiring

if TYPE_CHECKING:
    from airflow.sdk import Context


class SagaUndoOperator(GatewayOperator):
    """Undoes one step if there is something to undo; skipped otherwise.

    Args:
        wiring: The saga's.
        step: The step's name.
        undo: A call whose templates know ``effect``; or a function of the effect and the step's inputs, which gives the
            call, or undoes the step itself and gives a result.
        **kwargs: Arguments of ``GatewayOperator`` that are not part of the call, and of Airflow.
    """

    # The call is rendered when the effect is known.
    template_fields: Sequence[str] = ("gateway_conn_id",)
    custom_operator_name = "saga undo"
    ui_color = "#f6dcd8"
    shallow_copy_attrs = ("wiring",)

    def __init__(self, *, wiring: Wiring, step: str, undo: CallOrFunction, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wiring = wiring
        self.step = step
        self.undo = undo
        self._ready: Call | None = None

    def _check_call(self) -> None:
        """The call is there once the effect is known."""

    def _call(self, context: Context) -> Call:
        assert self._ready is not None
        return self._ready

    def execute(self, context: Context) -> Any:
        """Undo the step; gives what the service answered."""
        return self._run(context, None, resumed=False)

    def resume(self, context: Context, event: Any = None) -> Any:
        """Go on after a wait that was spent in the triggerer."""
        return self._run(context, None, resumed=True)

    def answered(self, context: Context, event: dict[str, Any], matter: str) -> Any:
        """Go on after a person was asked."""
        return self._run(context, answer_of(event, matter), resumed=False)

    def _run(self, context: Context, answer: Answer | None, *, resumed: bool) -> Any:
        wiring = self.wiring
        with GatewayHook(self.gateway_conn_id, openapi=self.openapi) as hook:
            acts = {
                LookUp: lambda effect: self._look_up(hook, effect, context),
                Wait: lambda effect: wait_until(self, effect.until),
                Question: lambda effect: ask_person(context, wiring, effect),
                Undo: lambda effect: self._undo(hook, effect, context, resumed=resumed),
            }
            try:
                result = carry_out(undo(wiring.plan, self.step, answer), wiring.journal(context["ti"]), acts)
            except NothingToUndo as nothing:
                raise AirflowSkipException(f"step {self.step}: {nothing}") from None
        publish(context, wiring, self.step, "undone", result)
        return result

    def _look_up(self, hook: GatewayHook, effect: LookUp, context: Context) -> Done | None:
        wired = self.wiring.steps[self.step]
        assert wired.lookup is not None
        what = self.wiring.effect(context["ti"], self.step, effect.epoch)
        return ask_service(self, hook, wired.lookup, wired, what, context)

    def _undo(self, hook: GatewayHook, effect: Undo, context: Context, *, resumed: bool) -> Done | Unknown:
        """Undo it; an error is handed on only where no other try would come."""
        ti, wired = context["ti"], self.wiring.steps[self.step]
        what = self.wiring.effect(ti, self.step, effect.epoch, effect.result)
        try:
            given = resolved(self, self.undo, wired, what, context)
            if not isinstance(given, Call):
                return Done(given)
            call = with_defaults(as_call(given), self)
            self._ready = dataclasses.replace(call, name=ti.task_id, epoch=str(effect.epoch))
            if not is_repeatable(hook, call):
                # An undo does no harm when it is done twice, so one whose answer was lost is sent again.
                forget_write(context, ti.task_id, str(effect.epoch))
            return Done(self._make_with(hook, context, resumed=resumed))
        except Exception as error:
            if isinstance(error, GatewayError) and (error.in_doubt or isinstance(error, OutcomeUnknown)):
                error.retryable = True
            retryable = not isinstance(error, GatewayError) or error.retryable
            if retryable and ti.try_number <= ti.max_tries:
                raise
            self.log.exception("step %s could not be undone", self.step)
            return Unknown(error)
