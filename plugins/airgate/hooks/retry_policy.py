"""Lets Airflow's retries follow what the gateway said."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airgate.policy.errors import GatewayError

if TYPE_CHECKING:
    from airflow.sdk import Context


class GatewayRetryPolicy(RetryPolicy):
    """Retries what may succeed, when the server will listen again; fails at once what a retry cannot mend.

    Give it to any task that calls a gateway, together with ``retries`` and a static ``retry_delay``: the delay is used
    when the error names none, and when the process itself died, in which case Airflow asks no policy.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide by the typed error; other errors take Airflow's own way."""
        error = _gateway_error(exception)
        if error is None:
            return RetryDecision.default()
        if not error.retryable:
            return RetryDecision.fail(reason=str(error))
        delay = None if error.retry_after is None else timedelta(seconds=error.retry_after)
        return RetryDecision.retry(delay=delay, reason=str(error))


def with_retry_policy(arguments: dict[str, Any]) -> dict[str, Any]:
    """An operator's arguments, with the policy that knows its errors unless the DAG or the task has one already."""
    if "retry_policy" in arguments or "retry_policy" in (arguments.get("default_args") or {}):
        return arguments
    return {**arguments, "retry_policy": GatewayRetryPolicy()}


def _gateway_error(exception: BaseException | None) -> GatewayError | None:
    """The gateway error behind an exception: task code often raises its own from ours."""
    seen: set[int] = set()
    while exception is not None and id(exception) not in seen:
        if isinstance(exception, GatewayError):
            return exception
        seen.add(id(exception))
        exception = exception.__cause__
    return None
