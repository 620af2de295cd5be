"""# Status overview: one order, four services, one answer.

What did the services do for an order? `inventory`, `payments`, `shipping` and `loyalty` know a part of it each. The
gateway has a route for that, `GET /overview?order=…`, which asks all four at the same time. This DAG does the same, to
show what it costs and what it gives: see docs/gateway-or-engine.md for both, measured, and for when to use which.

**One task, not four.** Four mapped tasks would be four processes for four calls of a millisecond. Here one task makes
them side by side, at most `WORKERS` at the same time, and gives each branch a status of its own, so that one service
that is away does not take the answers of the others with it.

**What can go wrong?** A service is away: its calls are repeated, by the connection's policy, and if it stays away its
branch is null and its status says why. The task is green all the same. With the param `complete` it fails instead, and
is tried again: that is what a gateway cannot do.

**Needs** the connection `gateway_default` with these sample services behind it, and the pool `gateway`; `scripts/demo`
sets both.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Param, dag, get_current_context, result, task

from airgate.errors import GatewayError
from airgate.hooks import GatewayHook, GatewayRetryPolicy

BRANCHES = {
    "reservations": "/inventory/reservations",
    "charges": "/payments/charges",
    "shipments": "/shipping/shipments",
    "grants": "/loyalty/grants",
}
"""Name -> where to ask; an answer has what was done under the same name."""
WORKERS = 4
"""Calls at the same time."""


@dag(
    dag_id="status_overview",
    dag_display_name="Status overview: one order, four services",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1, tz="UTC"),
    catchup=False,
    tags=["airgate", "services", "aggregation", "example"],
    default_args={
        "owner": "order-desk",
        "retries": 2,
        "retry_policy": GatewayRetryPolicy(),
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=5),
    },
    params={
        "order": Param(
            "A-1",
            type="string",
            minLength=1,
            maxLength=200,
            title="Order number",
            description="As the services were told it.",
        ),
        "patience": Param(
            20,
            type="number",
            exclusiveMinimum=0,
            maximum=120,
            title="Patience",
            description="Seconds for each service, repeated calls included.",
        ),
        "complete": Param(
            False,
            type="boolean",
            title="Only if complete",
            description="Whether the task fails, and is tried again, when a service did not answer.",
        ),
    },
)
def status_overview() -> None:
    """Ask four services what they did for an order."""

    @result
    @task(pool="gateway")
    def overview() -> dict[str, Any]:
        """What each service did, null where it did not answer, and a status for each."""
        params = get_current_context()["params"]
        answers = asyncio.run(_all_of(params["order"], params["patience"]))
        status = {name: standing for name, (_, standing) in answers.items()}
        missing = {name: standing["detail"] for name, standing in status.items() if "detail" in standing}
        if missing and params["complete"]:
            raise RuntimeError(f"no answer of {', '.join(f'{name} ({why})' for name, why in missing.items())}")
        return {**{name: found for name, (found, _) in answers.items()}, "_status": status}

    overview()


async def _all_of(order: str, patience: float) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Branch -> what came, and its status."""
    hook, places = GatewayHook(), asyncio.Semaphore(WORKERS)

    async def one(name: str, path: str) -> tuple[Any, dict[str, Any]]:
        async with places:
            try:
                async with asyncio.timeout(patience):
                    answer = await hook.acall("GET", path, params={"order": order})
                found = [{"id": each["id"], "state": each["state"]} for each in answer.json()[name]]
            except GatewayError as error:
                return None, {"status": error.status, "detail": str(error)}
            except TimeoutError:
                return None, {"status": None, "detail": f"did not answer within {patience:g} s"}
            return found, {"status": answer.status}

    try:
        return dict(zip(BRANCHES, await asyncio.gather(*map(one, BRANCHES, BRANCHES.values())), strict=True))
    finally:
        await hook.aclose()


status_overview()
