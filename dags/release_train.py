"""# Release train: build, check, deploy, verify, roll back.

Builds a revision on two systems at once, asks two checks whether the result is good enough, deploys it, and watches
whether it is healthy. What runs in the environment is remembered before anything is changed, and comes back when the
deployment fails, when the release is not healthy, and when a person marks the run as failed in the middle.

**How it ends.** Successful, with what was released as the run's result; or failed, and `verdict` says in its error why,
and what runs now. A check that says no ends the run before anything is deployed, so there is nothing to roll back.
Where nothing ran before, there is nothing to go back to: `verdict` says so, and a person decides.

**What can go wrong?** A worker, the triggerer or the scheduler dies: each job is submitted once and waited for on. A
person ends the run: the job that runs is cancelled, and `stop` makes sure of it before `rollback` deploys the version
before, so that no late deployment overtakes it. Rolling back is a teardown, which Airflow runs also when it skips
everything else.

**Try it.** The param `rehearse` makes the sample service say no, fail or become unhealthy.

**Needs** the connection `gateway_default` with the sample service `work` below `/work`, the pool `gateway` and a
triggerer; `scripts/demo` sets all of them.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import Param, dag, result, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airgate.hooks import GatewayHook, GatewayRetryPolicy
from airgate.jobs import Accepted, DeclaredJob
from airgate.operators import GatewayJobOperator, GatewayOperator
from airgate.sensors import GatewaySensor

# Templates give values here, not texts: a number stays one. `tojson` keeps a text what it is, so that a revision such
# as 20130101 does not become a number.
REVISION = "{{ params.revision | tojson }}"
VERSION = "{{ (params.version or 'r' ~ (dag_run.run_after | ts_nodash)) | tojson }}"
ENVIRONMENT = "{{ params.environment | tojson }}"
THIS_RELEASE = "{{ (dag.dag_id ~ '.' ~ run_id) | tojson }}"
"""What the deployment is found by at the service."""
ARTIFACT = "{{ ti.xcom_pull('build_service')['artifact'] | tojson }}"

WORK: dict[str, Any] = {"base": "/work", "honours_keys": True}
STATUS_DOCUMENT: dict[str, Any] = {**WORK, "output": "result", "log_path": "/jobs/{id}/log"}
DECLARATION = str(Path(__file__).resolve().parents[1] / "include" / "jobs" / "work.yaml")
LATE = 30.0
"""Seconds in which an order of a task that was ended while it sent it may still arrive."""


def only_after_a_failure(context: Any) -> None:
    """Skip the rollback of a release that is fine, and of one that has nothing to go back to."""
    if context["ti"].xcom_pull(task_ids="verify") is not None:
        raise AirflowSkipException("the release is healthy: there is nothing to roll back")
    if context["ti"].xcom_pull(task_ids="remember")["version"] is None:
        raise AirflowSkipException("nothing ran here before: there is nothing to go back to")


@dag(
    dag_id="release_train",
    dag_display_name="Release train: build, check, deploy, roll back",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,  # two releases at once would roll back to each other
    render_template_as_native_obj=True,
    tags=["airgate", "ci-cd", "jobs", "example"],
    params={
        "revision": Param(
            "main",
            type="string",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$",
            title="Revision",
            description="What to build: a branch, a tag or a commit.",
        ),
        "version": Param(
            None,
            type=["null", "string"],
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$",
            title="Version",
            description="The release's name, such as v1.2. Left empty: made of the time the run was asked for.",
        ),
        "environment": Param(
            "production",
            type="string",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$",
            title="Environment",
            description="Where to deploy it.",
        ),
        "seconds": Param(
            5,
            type="number",
            minimum=0,
            maximum=3600,
            title="Seconds of the deployment",
            description="How long the sample service takes for it.",
        ),
        "rehearse": Param(
            None,
            enum=[None, "check", "deployment", "health"],
            title="Rehearse a failure",
            description="What is to go wrong, to see what happens then. Left empty: nothing.",
            values_display={
                "check": "a check says no",
                "deployment": "the deployment fails",
                "health": "the release is not healthy",
            },
        ),
    },
    default_args={
        "owner": "release-engineering",
        "retries": 3,
        # Airflow asks the policy when a call fails; the static delay holds when the process itself was killed.
        "retry_policy": GatewayRetryPolicy(),
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=10),
    },
)
def release_train() -> None:
    """Release one revision."""
    # Two systems with ways of their own: one is declared in a file, one speaks in HTTP's words (202, then 303).
    build_service = GatewayJobOperator(
        task_id="build_service",
        protocol=DeclaredJob(
            DECLARATION,
            values={"kind": "builds"},
            json={"name": "shop", "revision": REVISION, "seconds": 3},
            base="/work",
        ),
        timeout=timedelta(hours=1),
        pool="gateway",
    )
    build_assets = GatewayJobOperator(
        task_id="build_assets",
        protocol=Accepted("/exports", json={"name": "shop-assets", "rows": 3, "seconds": 3}, **WORK),
        timeout=timedelta(hours=1),
        pool="gateway",
    )
    passes = "{{ params.rehearse != 'check' }}"
    checks = GatewayJobOperator.partial(
        task_id="check", protocol=Accepted("/checks", **STATUS_DOCUMENT), timeout=timedelta(hours=1), pool="gateway"
    ).expand(
        fields=[
            {"json": {"name": "security", "target": ARTIFACT, "passes": passes, "seconds": 3}},
            {"json": {"name": "performance", "target": ARTIFACT, "seconds": 3}},
        ]
    )

    @task
    def quality_gate(verdicts: list[dict[str, Any]], version: str) -> None:
        """Fail the run before anything is deployed, with everything that was found."""
        findings = [finding for verdict in verdicts for finding in verdict["findings"]]
        if findings:
            # Another try would find the same.
            raise AirflowFailException(f"quality gate for {version}: {'; '.join(findings)}")

    # It keeps the very order that would bring back what runs now; all of it is null where nothing does.
    remember = GatewayOperator(
        task_id="remember",
        path="/work/deployments/current",
        query={"environment": ENVIRONMENT},
        expect={200, 404},
        response_filter="{name: 'rollback', environment: environment, version: version, digest: digest}",
        pool="gateway",
    ).as_setup()
    deploy = GatewayJobOperator(
        task_id="deploy",
        protocol=Accepted(
            "/deployments",
            json={
                "name": "release",
                "environment": ENVIRONMENT,
                "version": VERSION,
                "digest": "{{ ti.xcom_pull('build_service')['digest'] | tojson }}",
                "reference": THIS_RELEASE,
                "seconds": "{{ params.seconds }}",
                "fail": "{{ 'no space left on the target' if params.rehearse == 'deployment' else none }}",
                "healthy": "{{ params.rehearse != 'health' }}",
            },
            **STATUS_DOCUMENT,
        ),
        timeout=timedelta(hours=1),
        stall_timeout=timedelta(minutes=15),
        pool="gateway",
    )
    verify = GatewaySensor(
        task_id="verify",
        path="/work/deployments/current",
        query={"environment": ENVIRONMENT},
        predicate="healthy",
        response_filter="@",
        deferrable=True,
        poke_interval=2,
        timeout=15,
        pool="gateway",
    )

    @task(pool="gateway")
    def stop(reference: str, verified: dict[str, Any] | None) -> None:
        """See to it that no deployment of this run is at work or can still begin, before another one is made."""
        if verified is not None:
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

    rollback = GatewayJobOperator(
        task_id="rollback",
        protocol=Accepted("/deployments", json=remember.output, **STATUS_DOCUMENT),
        pre_execute=only_after_a_failure,
        retries=8,
        timeout=timedelta(hours=1),
        pool="gateway",
    )

    @result
    @task
    def verdict(
        version: str,
        built: dict[str, Any] | None,
        assets: dict[str, Any] | None,
        before: dict[str, Any] | None,
        verified: dict[str, Any] | None,
        back: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Say what was released; fail the run when nothing was, and say what runs now."""
        if built and assets and before and verified and verified["version"] == version:
            return {
                "released": version,
                "environment": verified["environment"],
                "before": before["version"],
                "artifact": built["artifact"],
                "digest": built["digest"],
                "assets": len(assets["rows"]),
            }
        if verified:
            now = f"{verified['version']} runs there now: somebody else has deployed it meanwhile"
        elif before is None:
            now = "nothing was deployed"
        elif back:
            now = f"{back['environment']} was rolled back to {back['version']}"
        elif before["version"] is None:
            now = "nothing ran there before, so nothing was rolled back: a person has to look at what runs there now"
        else:
            now = f"the rollback to {before['version']} FAILED: a person has to look at what runs there now"
        raise AirflowFailException(f"{version} was not released; {now}")

    gate = quality_gate(checks.output, VERSION)
    stopped = stop(THIS_RELEASE, verify.output)
    # A template instead of `remember.output`: with a setup before it, it would not run where that one did not.
    before = "{{ ti.xcom_pull('remember') }}"
    ended = verdict(VERSION, build_service.output, build_assets.output, before, verify.output, rollback.output)
    [build_service, build_assets] >> checks
    gate >> remember >> deploy >> verify >> stopped >> rollback >> ended
    stopped.as_teardown(setups=remember)
    rollback.as_teardown(setups=remember)
    # A teardown of nothing: it runs however the run ends, and decides how that is.
    ended.as_teardown(on_failure_fail_dagrun=True)


release_train()
