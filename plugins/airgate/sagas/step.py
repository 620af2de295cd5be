"""One step of a saga that is a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import TaskDeferred

from airgate.client.message import Response
from airgate.hooks.call import Call, as_call, with_own_key
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.writes import EPOCH_KEY, forget_write
from airgate.operators.gateway import GatewayOperator
from airgate.policy.errors import Conflict, GatewayError, OutcomeUnknown
from airgate.policy.idempotency import SAFE_METHODS, use_of_key
from airgate.policy.retry import IDEMPOTENT_METHODS
from airgate.policy.saga.effects import Done, LookUp, Refused, Send, Unknown, Wait
from airgate.policy.saga.forward import forward, pause
from airgate.sagas.asking import ask_service
from airgate.sagas.checking import check_key
from airgate.sagas.driving import carry_out
from airgate.sagas.publishing import publish
from airgate.sagas.results import push_fields
from airgate.sagas.waiting import wait_until
from airgate.sagas.wiring import CallOrFunction, Wiring

if TYPE_CHECKING:
    from airflow.sdk import Context


def call_fields(call: Call) -> dict[str, Any]:
    """The arguments of a ``GatewayOperator`` that make the same call."""
    fields = call.to_dict()
    for name in ("name", "epoch"):
        if name in fields:
            raise ValueError(f"a saga gives its calls {name} itself; leave it out")
    if "params" in fields:
        fields["query"] = fields.pop("params")
    return fields


def with_defaults(call: Call, task: GatewayOperator) -> Call:
    """The call with the key setting and the statuses of its task, where it has none of its own."""
    return dataclasses.replace(
        call,
        idempotency_key=task.idempotency_key if call.idempotency_key is None else call.idempotency_key,
        expect=task.expect if call.expect is None else call.expect,
    )


def settling_time(hook: GatewayHook, wiring: Wiring) -> float:
    """Seconds until nothing that a try sends from now on can arrive any more, should its process die."""
    gateway = hook.gateway
    longest = gateway.retry.deadline or gateway.retry.attempts * (gateway.connect_timeout + gateway.read_timeout)
    return longest + wiring.settles_in


def is_repeatable(hook: GatewayHook, call: Call) -> bool:
    """Whether sending a call twice does no harm: its method says so, or the service honours its key."""
    call = with_own_key(hook.resolve(call), hook.gateway.idempotency_header)
    method = call.method.upper()
    use = use_of_key(method, call.idempotency_key, hook.gateway.idempotency)
    return use == "honoured" or method in IDEMPOTENT_METHODS | SAFE_METHODS


class SagaStepOperator(GatewayOperator):
    """Makes the call of one step, and writes to the saga's journal what is about to happen and what has happened.

    Args:
        wiring: The saga's.
        step: The step's name.
        do: The call, or a function of the step's inputs that gives it.
        inputs: Arguments of that function; results of earlier steps may be among them.
        **kwargs: Arguments of ``GatewayOperator`` that are not part of the call, and of Airflow.
    """

    template_fields: Sequence[str] = (*GatewayOperator.template_fields, "inputs")
    custom_operator_name = "saga step"
    ui_color = "#d8e8f6"
    shallow_copy_attrs = ("wiring",)

    def __init__(
        self, *, wiring: Wiring, step: str, do: CallOrFunction, inputs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self.function = None if isinstance(do, Call) else do
        self.inputs = dict(inputs or {})
        super().__init__(**{**kwargs, **(call_fields(do) if isinstance(do, Call) else {})})
        self.wiring = wiring
        self.step = step
        self._epoch = 0
        self._answered = False
        self._given: Call | None = None

    def _check_call(self) -> None:
        if self.function is None:
            super()._check_call()

    def _call(self, context: Context) -> Call:
        return dataclasses.replace(self._business(), name=context["ti"].task_id, epoch=str(self._epoch))

    def _business(self) -> Call:
        """The call as the DAG has it."""
        if self.function is None:
            return self._own_call()
        if self._given is None:  # once a try, as nobody knows what the function costs
            self._given = with_defaults(as_call(self.function(**self.inputs)), self)
        return self._given

    def execute(self, context: Context) -> Any:
        """Do the step, once over all tries; gives its result."""
        return self._run(context, resumed=False)

    def resume(self, context: Context, event: Any = None) -> Any:
        """Go on after a long wait that was spent in the triggerer."""
        return self._run(context, resumed=True)

    def _run(self, context: Context, *, resumed: bool) -> Any:
        wiring, self._given = self.wiring, None
        with GatewayHook(self.gateway_conn_id, openapi=self.openapi) as hook:
            program = forward(
                wiring.plan,
                self.step,
                settling_time(hook, wiring),
                resumed=resumed,
                repeatable=self._is_repeatable(hook),
            )
            acts = {
                Send: lambda effect: self._send(hook, context, effect, resumed=resumed),
                LookUp: lambda effect: self._look_up(hook, effect, context),
                Wait: lambda effect: wait_until(self, effect.until),
            }
            result = carry_out(program, wiring.journal(context["ti"]), acts)
        push_fields(self, context, result)
        publish(context, wiring, self.step, "done", result)
        return result

    def _is_repeatable(self, hook: GatewayHook) -> bool:
        """Whether sending it twice does no harm.

        Raises:
            ValueError: The call has a key of its own.
        """
        call = self._business()
        check_key(f"step {self.step!r}", with_own_key(call, hook.gateway.idempotency_header))
        return is_repeatable(hook, call)

    def _send(self, hook: GatewayHook, context: Context, effect: Send, *, resumed: bool) -> Done | Refused | Unknown:
        self._epoch = effect.epoch
        context[EPOCH_KEY] = str(effect.epoch)  # type: ignore[literal-required]
        self._answered = False
        repeatable = self._is_repeatable(hook)
        if effect.again and not repeatable:
            forget_write(context, context["ti"].task_id, str(effect.epoch))
        try:
            return Done(self._make_with(hook, context, resumed=resumed))
        except TaskDeferred:
            put_off = pause(self.step, effect.epoch, effect.at, self.wiring.settles_in, repeatable=repeatable)
            carry_out(put_off, self.wiring.journal(context["ti"]))
            raise
        except GatewayError as error:
            if not (error.in_doubt or self._answered or isinstance(error, OutcomeUnknown | Conflict)):
                return Refused(error)
            if not repeatable and self.wiring.plan[self.step].lookup:
                error.retryable, error.retry_after = True, self.wiring.settles_in  # the next try asks first
            return Unknown(error, self.wiring.settles_in)
        except ValueError as error:
            return Unknown(error, 0.0) if self._answered else Refused(error)

    def _look_up(self, hook: GatewayHook, effect: LookUp, context: Context) -> Done | None:
        wired = self.wiring.steps[self.step]
        assert wired.lookup is not None
        what = self.wiring.effect(context["ti"], self.step, effect.epoch)
        return ask_service(self, hook, wired.lookup, wired, what, context)

    def _result(self, context: Context, hook: GatewayHook, call: Call, response: Response) -> Any:
        # From here on it has happened, whatever becomes of the answer.
        self._answered = True
        return super()._result(context, hook, call, response)
