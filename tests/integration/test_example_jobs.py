"""The example DAGs about jobs, run by Airflow's own scheduler and triggerer against a service that misbehaves.

All runs are asked for at once, as waiting for one after the other would take minutes; each test looks at its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stack import marks
from tests.integration.example_stack import ExampleStack, Run, example_stack

pytestmark = pytest.mark.integration

LONG = 300
"""Seconds of a job that is to be ended by hand."""

RELEASES: dict[str, dict[str, Any]] = {
    "good": {"version": "v1", "revision": "20130101"},
    "refused": {"version": "v2", "rehearse": "check"},
    "unhealthy": {"version": "v3", "rehearse": "health"},
    "interrupted": {"version": "v4", "seconds": LONG},
}
"""In this order: one at a time, and all go back to the first."""

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "approved": {"resources": ["network", "cache"]},
    "rejected": {},
    "untested": {"rehearse": "smoke test"},
    "interrupted": {"seconds": LONG},
}


@dataclass(frozen=True)
class Played:
    """What came of all runs."""

    stack: ExampleStack
    runs: dict[tuple[str, str], Run]
    ends: dict[tuple[str, str], str]
    """How the runs ended."""
    questions: dict[str, dict[str, Any]]
    """What was asked for the environments."""

    def release(self, name: str) -> tuple[Run, str]:
        return self.runs["release_train", name], self.ends["release_train", name]

    def environment(self, name: str) -> tuple[Run, str]:
        return self.runs["provision_environment", name], self.ends["provision_environment", name]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Every run, ended: some by themselves, some by a person's answer, some marked as failed in the middle."""
    home = tmp_path_factory.mktemp("examples") / "home"
    home.mkdir()
    with example_stack(home, ("release_train", "provision_environment")) as stack:
        runs = {("release_train", name): stack.start("release_train", name, conf) for name, conf in RELEASES.items()}
        for name, conf in ENVIRONMENTS.items():
            run = stack.start("provision_environment", name, {"environment": f"env-{name}", **conf})
            runs["provision_environment", name] = run
        questions = {name: runs["provision_environment", name].asked("approve") for name in ENVIRONMENTS}
        for name in ENVIRONMENTS:
            answer = "Reject" if name == "rejected" else "Approve"
            runs["provision_environment", name].answer("approve", answer)
        for dag_id, task_id in (("provision_environment", "apply"), ("release_train", "deploy")):
            run = runs[dag_id, "interrupted"]
            run.working()
            run.deferred(task_id)
            run.mark_failed()
        ends = {key: run.ended() for key, run in runs.items()}
        yield Played(stack, runs, ends, questions)
    assert marks.marked(home) == []


def test_a_good_release_is_deployed(played: Played) -> None:
    """Built on both systems, checked twice, deployed and healthy; nothing is rolled back; the run tells all that."""
    run, end = played.release("good")
    assert end == "success", run.told()
    states = run.states()
    assert states.pop("rollback") == "skipped"
    assert set(states.values()) == {"success"}
    told = run.xcom("verdict")
    assert (told["released"], told["before"], told["environment"]) == ("v1", None, "production")
    assert (told["artifact"], told["assets"]) == ("shop-20130101", 3)
    assert told["digest"] == run.xcom("build_service")["digest"]


def test_a_check_that_says_no_stops_the_release_before_it_is_deployed(played: Played) -> None:
    """The reason stands in the log; nothing is touched, so nothing is rolled back."""
    run, end = played.release("refused")
    assert end == "failed", run.told()
    states = run.states()
    assert (states["quality_gate"], states["verdict"]) == ("failed", "failed")
    assert {states[task] for task in ("remember", "deploy", "verify", "stop", "rollback")} == {"upstream_failed"}
    assert "quality gate for v2: security: shop-main is not good enough" in run.said("quality_gate")
    assert "v2 was not released; nothing was deployed" in run.said("verdict")
    assert played.stack.jobs(run) == []


def test_a_release_that_is_not_healthy_is_rolled_back(played: Played) -> None:
    """The version before is deployed again, and the run fails and says so."""
    run, end = played.release("unhealthy")
    assert end == "failed", run.told()
    states = run.states()
    assert (states["verify"], states["rollback"], states["verdict"]) == ("failed", "success", "failed"), run.told()
    [job] = played.stack.jobs(run)
    assert job["status"] == "succeeded"
    assert run.xcom("rollback") == {"environment": "production", "version": "v1", "previous": "v3"}
    assert "v3 was not released; production was rolled back to v1" in run.said("verdict")


def test_a_release_that_a_person_ends_leaves_no_job_and_is_rolled_back(played: Played) -> None:
    """The deployment is cancelled, the version before is deployed once more, and the run stays failed."""
    run, end = played.release("interrupted")
    assert end == "failed", run.told()
    states = run.states()
    assert (states["deploy"], states["verify"], states["rollback"]) == ("failed", "skipped", "success"), run.told()
    [job] = played.stack.jobs(run)
    assert job["status"] == "cancelled"
    assert "v4 was not released; production was rolled back to v1" in run.said("verdict")
    now = played.stack.ask("/deployments/current?environment=production")
    assert (now["version"], now["healthy"]) == ("v1", True)
    assert now["since"] > job["ended_at"]


def test_an_approved_environment_is_made(played: Played) -> None:
    """The person sees the plan; what it says is there, and nothing is destroyed."""
    question = played.questions["approved"]
    assert question["subject"] == "Make the environment env-approved?"
    assert "* `network`\n* `cache`\n" in question["body"]
    assert (question["options"], question["defaults"]) == (["Approve", "Reject"], ["Reject"])
    run, end = played.environment("approved")
    assert end == "success", run.told()
    assert run.states()["destroy"] == "skipped"
    assert run.xcom("verdict") == {
        "outcome": "provisioned",
        "environment": "env-approved",
        "resources": ["network", "cache"],
    }
    assert played.stack.ask("/environments/env-approved")["state"] == "ready"


def test_a_rejected_environment_is_not_made(played: Played) -> None:
    """A no is an answer: nothing is applied, nothing is destroyed, and the run ends well with that result."""
    run, end = played.environment("rejected")
    assert end == "success", run.told()
    assert run.xcom("verdict") == {"outcome": "rejected", "environment": "env-rejected"}
    states = run.states()
    skipped = ("is_still_new", "apply", "smoke_test", "judge", "stop", "destroy")
    assert {states[task] for task in skipped} == {"skipped"}
    assert played.stack.jobs(run) == []
    assert played.stack.ask("/environments/env-rejected")["state"] == "absent"


def test_an_environment_that_does_not_pass_its_smoke_test_is_destroyed(played: Played) -> None:
    """It was there for a while; the run fails with what the test found."""
    run, end = played.environment("untested")
    assert end == "failed", run.told()
    assert "smoke test of env-untested: smoke-test: env-untested is not good enough" in run.said("judge")
    assert run.xcom("destroy")["destroyed"] == ["network", "database", "service"]
    assert "was destroyed: network, database, service" in run.said("verdict")
    assert played.stack.ask("/environments/env-untested")["state"] == "absent"


def test_an_environment_that_a_person_gives_up_leaves_no_job_and_nothing_behind(played: Played) -> None:
    """The apply is cancelled, the environment is destroyed, and the run stays failed."""
    run, end = played.environment("interrupted")
    assert end == "failed", run.told()
    [job] = played.stack.jobs(run)
    assert job["status"] == "cancelled"
    states = run.states()
    assert (states["apply"], states["destroy"], states["verdict"]) == ("failed", "success", "failed"), run.told()
    assert played.stack.ask("/environments/env-interrupted")["state"] == "absent"


def test_no_job_is_left_and_none_was_made_twice(played: Played) -> None:
    """The service's own count, although it drops connections after it has taken an order."""
    truth = played.stack.ask("/-/truth")
    assert truth["states"]["queued"] == truth["states"]["running"] == 0
    assert truth["cancellations"] == 2
    assert truth["kinds"] == {
        "builds": 4,
        "exports": 4,
        "checks": 8 + 2,
        "deployments": 3 + 2,
        "plans": 4,
        "applies": 3,
        "destroys": 2,
    }
