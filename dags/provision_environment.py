"""# A new environment: plan, approval, apply, smoke test, destroy on failure.

Plans an environment and shows the plan to a person, in Airflow's UI under *Required Actions*. Once it is approved the
plan is applied and the environment tested. What a failed apply or a failed test leaves behind is destroyed, also when a
person marks the run as failed in the middle.

**How it ends.** The run's result is `{"outcome": "provisioned", …}`, or `{"outcome": "rejected", …}` when the person
said no or nobody answered for a day: a no is an answer and not a failure, so the run is successful, nothing was changed
and nothing is destroyed. When it could not be provisioned the run fails, and `verdict` says in its error what is there
now.

**Only what this run made is destroyed.** An environment that is there already is refused, before anybody is asked and
once more after the approval, which may have taken a day.

**What can go wrong?** A worker, the triggerer or the scheduler dies: each job is submitted once and waited for on. A
person ends the run: the job that runs is cancelled, and `stop` makes sure of it before `destroy` begins, so that no
late apply makes again what was taken away.

**Try it.** The param `rehearse` makes the sample service fail.

**Needs** the connection `gateway_default` with the sample service `work` below `/work`, the pool `gateway` and a
triggerer; `scripts/demo` sets all of them.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, result, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airgate.hooks import GatewayHook, GatewayRetryPolicy
from airgate.jobs import Accepted
from airgate.operators import GatewayJobOperator, GatewayOperator

# Templates give values here, not texts: a number stays one. `tojson` keeps a text what it is, so that an environment
# such as 2024 does not become a number.
ENVIRONMENT = "{{ params.environment | tojson }}"
THIS_RUN = "{{ (dag.dag_id ~ '.' ~ run_id) | tojson }}"
"""What the apply is found by at the service."""

JOB: dict[str, Any] = {"base": "/work", "honours_keys": True, "output": "result", "log_path": "/jobs/{id}/log"}
LATE = 30.0
"""Seconds in which an order of a task that was ended while it sent it may still arrive."""

PLAN = """\
{% set plan = ti.xcom_pull('plan') -%}
**{{ plan['plan'] }}** makes in the new environment `{{ plan['environment'] }}`:

{% for resource in plan['create'] -%}
* `{{ resource }}`
{% endfor %}
Without an answer within a day it is rejected.
"""


def only_after_a_failure(context: Any) -> None:
    """Skip the destruction of an environment that works."""
    if context["ti"].xcom_pull(task_ids="judge") is not None:
        raise AirflowSkipException("the environment works: there is nothing to destroy")


@dag(
    dag_id="provision_environment",
    dag_display_name="New environment: plan, approve, apply, test",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=16,  # one that waits for its approval keeps nobody else waiting
    render_template_as_native_obj=True,
    tags=["airgate", "infrastructure", "jobs", "approval", "example"],
    params={
        "environment": Param(
            "staging",
            type="string",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$",
            title="Environment",
            description="Name of the environment to make. It must not be there yet.",
        ),
        "resources": Param(
            ["network", "database", "service"],
            type="array",
            items={"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$"},
            minItems=1,
            maxItems=20,
            title="Resources",
            description="What it consists of, one a line.",
        ),
        "seconds": Param(
            5,
            type="number",
            minimum=0,
            maximum=3600,
            title="Seconds of the apply",
            description="How long the sample service takes for it.",
        ),
        "rehearse": Param(
            None,
            enum=[None, "apply", "smoke test"],
            title="Rehearse a failure",
            description="What is to go wrong, to see what happens then. Left empty: nothing.",
            values_display={"apply": "the apply fails", "smoke test": "the smoke test says no"},
        ),
    },
    default_args={
        "owner": "platform",
        "retries": 3,
        # Airflow asks the policy when a call fails; the static delay holds when the process itself was killed.
        "retry_policy": GatewayRetryPolicy(),
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=10),
    },
)
def provision_environment() -> None:
    """Make one environment."""
    absent: dict[str, Any] = {
        "path": "/work/environments/{name}",
        "path_params": {"name": ENVIRONMENT},
        "response_check": "state == 'absent'",
        "pool": "gateway",
    }
    is_new = GatewayOperator(task_id="is_new", **absent)
    plan = GatewayJobOperator(
        task_id="plan",
        protocol=Accepted(
            "/plans",
            json={
                "name": "plan",
                "environment": ENVIRONMENT,
                "resources": "{{ params.resources }}",
                "seconds": 3,
            },
            **JOB,
        ),
        timeout=timedelta(hours=1),
        pool="gateway",
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Make the environment {{ params.environment }}?",
        body=PLAN,
        defaults=ApprovalOperator.REJECT,
        response_timeout=timedelta(days=1),
    )
    # From here on something may be there that has to be taken away again; a rejection skips it and all that follows.
    is_still_new = GatewayOperator(task_id="is_still_new", **absent).as_setup()
    apply = GatewayJobOperator(
        task_id="apply",
        protocol=Accepted(
            "/applies",
            json={
                "name": "apply",
                "environment": ENVIRONMENT,
                "plan": "{{ ti.xcom_pull('plan')['plan'] | tojson }}",
                "reference": THIS_RUN,
                "seconds": "{{ params.seconds }}",
                "fail": "{{ 'the quota is used up' if params.rehearse == 'apply' else none }}",
            },
            **JOB,
        ),
        timeout=timedelta(hours=1),
        stall_timeout=timedelta(minutes=15),
        pool="gateway",
    )
    smoke_test = GatewayJobOperator(
        task_id="smoke_test",
        protocol=Accepted(
            "/checks",
            json={
                "name": "smoke-test",
                "target": ENVIRONMENT,
                "passes": "{{ params.rehearse != 'smoke test' }}",
                "seconds": 3,
            },
            **JOB,
        ),
        timeout=timedelta(hours=1),
        pool="gateway",
    )

    @task
    def judge(tested: dict[str, Any]) -> bool:
        """Fail with what the smoke test found; such a test that says no has not failed itself."""
        if tested["findings"]:
            raise AirflowFailException(f"smoke test of {tested['target']}: {'; '.join(tested['findings'])}")
        return True

    @task(pool="gateway")
    def stop(reference: str, works: bool | None) -> None:
        """See to it that no apply of this run is at work or can still begin, before all of it is destroyed."""
        if works:
            return
        began = time.monotonic()
        with GatewayHook() as hook:
            while True:
                jobs = hook.call("GET", "/work/jobs", params={"reference": reference}).json()["jobs"]
                running = [job["id"] for job in jobs if job["status"] in {"queued", "running"}]
                if not running and (jobs or time.monotonic() - began > LATE):
                    return
                for job in running:
                    # 409: it was over before it could be cancelled.
                    hook.call("DELETE", "/work/jobs/{id}", path_params={"id": job}, expect={200, 404, 409})
                time.sleep(1)

    destroy = GatewayJobOperator(
        task_id="destroy",
        protocol=Accepted("/destroys", json={"name": "destroy", "environment": ENVIRONMENT}, **JOB),
        pre_execute=only_after_a_failure,
        retries=8,
        timeout=timedelta(hours=1),
        pool="gateway",
    )

    @result
    @task
    def verdict(
        environment: str,
        answer: dict[str, Any] | None,
        states: dict[str, str],
        began: dict[str, Any] | None,
        applied: dict[str, Any] | None,
        works: bool | None,
        destroyed: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Say what came of it; fail the run when that is neither an environment that works nor a rejection."""
        # Airflow keeps the answer of a yes alone; after a no the task has succeeded and the next one is skipped.
        if answer is None and states == {"approve": "success", "is_still_new": "skipped"}:
            return {"outcome": "rejected", "environment": environment}
        if works and applied:
            return {"outcome": "provisioned", "environment": environment, "resources": applied["resources"]}
        if began is None:
            now = "nothing was changed"
        elif destroyed:
            now = f"what was there of it was destroyed: {', '.join(destroyed['destroyed']) or 'nothing'}"
        else:
            now = "it was NOT destroyed: a person has to look at what is there of it"
        raise AirflowFailException(f"{environment} was not provisioned; {now}")

    works = judge(smoke_test.output)
    stopped = stop(THIS_RUN, works)
    # A template instead of `is_still_new.output`: with a setup before it, it would not run where that one did not.
    began = "{{ ti.xcom_pull('is_still_new') }}"
    states = "{{ ti.get_task_states(dag.dag_id, run_ids=[run_id], task_ids=['approve', 'is_still_new'])[run_id] }}"
    ended = verdict(ENVIRONMENT, approve.output, states, began, apply.output, works, destroy.output)
    is_new >> plan >> approve >> is_still_new >> apply >> smoke_test
    stopped >> destroy >> ended
    stopped.as_teardown(setups=is_still_new)
    destroy.as_teardown(setups=is_still_new)
    # A teardown of nothing: it runs however the run ends, and decides how that is.
    ended.as_teardown(on_failure_fail_dagrun=True)


provision_environment()
