"""``@task.gateway``: a function says which call is to be made, and airgate makes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory
from airflow.sdk.definitions.context import context_merge

from airgate.hooks.call import Call, as_call
from airgate.operators.gateway import GatewayOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class _GatewayDecoratedOperator(DecoratedOperator, GatewayOperator):
    """Makes the call that the function returns."""

    template_fields: Sequence[str] = ("op_args", "op_kwargs", "epoch", "reconcile", "gateway_conn_id")
    template_fields_renderers = {"op_args": "py", "op_kwargs": "py"}
    custom_operator_name = "@task.gateway"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        own = {"method", "path", "path_params", "query", "json", "data", "headers", "operation", "arguments"}
        if given := sorted(own & kwargs.keys()):
            raise ValueError(f"@task.gateway takes {', '.join(given)} from what the function returns")
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    def _check_call(self) -> None:
        """The call is there once the function has run."""

    def _call(self, context: Context) -> Call:
        context_merge(context, self.op_kwargs)
        returned = self.python_callable(*self.op_args, **self.determine_kwargs(context))
        try:
            call = as_call(returned)
        except (TypeError, ValueError) as error:
            raise type(error)(f"@task.gateway {self.task_id!r}: {error}") from None
        changes: dict[str, Any] = {}
        if call.idempotency_key is None:
            changes["idempotency_key"] = self.idempotency_key
        if call.expect is None:
            changes["expect"] = self.expect
        if not call.epoch:
            changes["epoch"] = self.epoch
        return dataclasses.replace(call, **changes)


def gateway_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Make a task of a function that returns a call.

    The function runs again in every try, and after a long wait that gave the worker back, so it must have no effects
    of its own and build the same request each time: another one under the same key raises ``KeyReused``.

    Args:
        python_callable: Returns an ``airgate.hooks.Call``, or a dict of its fields.
        multiple_outputs: Whether a result that is a dict becomes one XCom for each of its names.
        **kwargs: Arguments of ``GatewayOperator`` that are not part of the call, such as ``response_filter``.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        # Said here, as it would be read from the function's own return type otherwise, and that is the call.
        multiple_outputs=bool(multiple_outputs),
        decorated_operator_class=_GatewayDecoratedOperator,
        **kwargs,
    )
