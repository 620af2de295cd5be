"""The example DAGs about jobs: what is a teardown of what, what their forms take, and what their verdicts say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

DAGS = [("release_train", "remember", "rollback"), ("provision_environment", "is_still_new", "destroy")]


@pytest.fixture
def dag(dag_bag: DagBag) -> Callable[[str], DAG]:
    return lambda dag_id: dag_bag.dags[dag_id]


@pytest.mark.parametrize(("dag_id", "setup", "undo"), DAGS)
def test_what_undoes_runs_however_the_run_ends(dag: Callable[[str], DAG], dag_id: str, setup: str, undo: str) -> None:
    """It is a teardown of the task right before the change, and first makes sure that the change is not going on."""
    tasks = dag(dag_id).task_dict
    assert tasks[setup].is_setup
    for task_id in ("stop", undo):
        assert tasks[task_id].is_teardown
        assert setup in tasks[task_id].upstream_task_ids
    assert "stop" in tasks[undo].upstream_task_ids


@pytest.mark.parametrize(("dag_id", "setup", "undo"), DAGS)
def test_the_verdict_decides_how_the_run_ends(dag: Callable[[str], DAG], dag_id: str, setup: str, undo: str) -> None:
    """A teardown without a setup runs also where the setup never did, and its failure fails the run."""
    verdict = dag(dag_id).get_task("verdict")
    assert verdict.is_teardown
    assert verdict.on_failure_fail_dagrun
    assert undo in verdict.upstream_task_ids
    assert not [task for task in verdict.upstream_list if task.is_setup]
    assert not verdict.downstream_task_ids
    assert verdict.returns_dag_result


def test_one_release_at_a_time(dag: Callable[[str], DAG]) -> None:
    """What one remembers is what the other deploys; approvals, in contrast, may wait beside each other."""
    assert dag("release_train").max_active_runs == 1
    assert dag("provision_environment").max_active_runs > 1
    assert dag("release_train").dagrun_timeout is None, "it would skip the rollback"
    assert dag("provision_environment").dagrun_timeout is None, "it would skip the destruction"


def test_nothing_is_deployed_before_the_gate(dag: Callable[[str], DAG]) -> None:
    """Both builds and all checks are over, and the gate has let them pass."""
    before = dag("release_train").get_task("deploy").get_flat_relative_ids(upstream=True)
    assert {"build_service", "build_assets", "check", "quality_gate", "remember"} <= before


def test_nothing_is_applied_without_an_approval(dag: Callable[[str], DAG]) -> None:
    """And nobody's silence is one."""
    approve = dag("provision_environment").get_task("approve")
    assert {"is_still_new", "apply"} <= approve.get_flat_relative_ids(upstream=False)
    assert (approve.defaults, approve.options) == (["Reject"], ["Approve", "Reject"])
    assert approve.response_timeout.total_seconds() == 86_400


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("release_train", {"version": "v1 beta"}),
        ("release_train", {"revision": ""}),
        ("release_train", {"rehearse": "everything"}),
        ("release_train", {"seconds": -1}),
        ("provision_environment", {"environment": "../prod"}),
        ("provision_environment", {"resources": []}),
        ("provision_environment", {"resources": "network"}),
    ],
)
def test_params_that_no_service_would_take_are_refused(
    dag: Callable[[str], DAG], dag_id: str, conf: dict[str, Any]
) -> None:
    """The form says so, before anything is built."""
    from airflow.exceptions import ParamValidationError

    params = dag(dag_id).params
    given = {name: conf.get(name, params[name]) for name in params}
    with pytest.raises(ParamValidationError):
        [params.get_param(name).resolve(value) for name, value in given.items()]


def test_every_param_is_explained(dag_bag: DagBag) -> None:
    """The form has a title and a sentence for each."""
    for dag in dag_bag.dags.values():
        for name in dag.params:
            param = dag.params.get_param(name)
            assert param.schema.get("title"), (dag.dag_id, name)
            assert (param.description or "").endswith("."), (dag.dag_id, name)


BUILT = {"artifact": "shop-main", "digest": "sha256:1"}
ASSETS = {"rows": [1, 2]}
BEFORE = {"name": "rollback", "environment": "production", "version": "v1", "digest": None}
NONE_BEFORE = dict.fromkeys(BEFORE)
RUNS = {"environment": "production", "version": "v2", "healthy": True}
BACK = {"environment": "production", "version": "v1", "previous": "v2"}


def test_a_release_is_told(dag: Callable[[str], DAG]) -> None:
    """What, where, from what, and what ran before."""
    verdict = dag("release_train").get_task("verdict").python_callable
    assert verdict("v2", BUILT, ASSETS, BEFORE, RUNS, None) == {
        "released": "v2",
        "environment": "production",
        "before": "v1",
        "artifact": "shop-main",
        "digest": "sha256:1",
        "assets": 2,
    }


@pytest.mark.parametrize(
    ("before", "verified", "back", "said"),
    [
        (None, None, None, "nothing was deployed"),
        (BEFORE, None, BACK, "production was rolled back to v1"),
        (BEFORE, None, None, "the rollback to v1 FAILED: a person has to look"),
        (NONE_BEFORE, None, None, "nothing ran there before, so nothing was rolled back: a person has to look"),
        (BEFORE, RUNS | {"version": "v9"}, None, "v9 runs there now: somebody else"),
    ],
)
def test_a_release_that_was_none_is_told_with_what_runs_now(
    dag: Callable[[str], DAG], before: Any, verified: Any, back: Any, said: str
) -> None:
    """Whoever is on call reads what is there now, and whether there is something to do."""
    verdict = dag("release_train").get_task("verdict").python_callable
    with pytest.raises(AirflowFailException, match=r"^v2 was not released; ") as raised:
        verdict("v2", BUILT, ASSETS, before, verified, back)
    assert said in str(raised.value)


APPROVED = {"chosen_options": ["Approve"], "params_input": {}}
ALL_RAN = {"approve": "success", "is_still_new": "success"}
NEXT_SKIPPED = {"approve": "success", "is_still_new": "skipped"}
ABSENT = {"name": "staging", "state": "absent", "resources": [], "job": None}
APPLIED = {"environment": "staging", "plan": "plan-1", "resources": ["network"]}


def test_an_environment_is_told(dag: Callable[[str], DAG]) -> None:
    """With what it consists of."""
    verdict = dag("provision_environment").get_task("verdict").python_callable
    told = {"outcome": "provisioned", "environment": "staging", "resources": ["network"]}
    assert verdict("staging", APPROVED, ALL_RAN, ABSENT, APPLIED, True, None) == told


def test_a_rejection_is_told(dag: Callable[[str], DAG]) -> None:
    """It is no failure."""
    verdict = dag("provision_environment").get_task("verdict").python_callable
    told = {"outcome": "rejected", "environment": "staging"}
    assert verdict("staging", None, NEXT_SKIPPED, None, None, None, None) == told


@pytest.mark.parametrize(
    ("answer", "states", "began", "destroyed", "said"),
    [
        pytest.param(None, {"is_still_new": "upstream_failed"}, None, None, "nothing was changed", id="no plan"),
        pytest.param(
            None,
            {"approve": "failed", "is_still_new": "skipped"},
            None,
            None,
            "nothing was changed",
            id="given up while it waited for its approval",
        ),
        pytest.param(APPROVED, NEXT_SKIPPED, None, None, "nothing was changed", id="given up right after its approval"),
        pytest.param(
            APPROVED,
            {"approve": "success", "is_still_new": "failed"},
            None,
            None,
            "nothing was changed",
            id="made by somebody else meanwhile",
        ),
        pytest.param(APPROVED, ALL_RAN, ABSENT, {"destroyed": ["network"]}, "was destroyed: network", id="destroyed"),
        pytest.param(APPROVED, ALL_RAN, ABSENT, {"destroyed": []}, "was destroyed: nothing", id="nothing was there"),
        pytest.param(
            APPROVED, ALL_RAN, ABSENT, None, "it was NOT destroyed: a person has to look", id="destroying failed"
        ),
    ],
)
def test_an_environment_that_is_none_is_told_with_what_is_there_now(
    dag: Callable[[str], DAG], answer: Any, states: dict[str, str], began: Any, destroyed: Any, said: str
) -> None:
    """Whoever is on call reads what is there, and whether there is something to do."""
    verdict = dag("provision_environment").get_task("verdict").python_callable
    with pytest.raises(AirflowFailException, match=r"^staging was not provisioned; ") as raised:
        verdict("staging", answer, states, began, None, None, destroyed)
    assert said in str(raised.value)
