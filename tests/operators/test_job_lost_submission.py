"""What a task stores while its submission is under way, so that others can find the job."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.client import clock
from airgate.client.sealing import unseal
from airgate.errors import GatewayError, OutcomeUnknown
from airgate.jobs import CALLBACK_URL, Accepted, JobHandle
from airgate.jobs.protocol import recreate
from airgate.testing.time import InstantTime
from tests.job_farm import Farm, FarmJob
from tests.operators.test_job_ends import lost, until
from tests.operators.test_job_operator import WORK, at, task  # noqa: F401

PASSWORD = "only-to-seal-with"
FOUND = FarmJob(WORK, header=False)
KEYED = FarmJob(WORK, can_find=False)


@pytest.fixture(autouse=True)
def sealing(at: Farm, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The connection has a secret."""
    extra = {"auth": "none", "backoff": 0.001, "attempts": 2, "read_timeout": 5}
    gateway = {"conn_type": "gateway", "host": at.address, "password": PASSWORD, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))


def record(context: Any) -> dict[str, Any]:
    return dict(context["task_state_store"].get("airgate.job"))


def while_submitting(at: Farm, context: Any, **arguments: Any) -> dict[str, Any]:  # noqa: F811
    """What is stored while the service has made the job and not answered yet."""
    at.hold = answered = threading.Event()
    operator = task(**arguments)

    def run() -> None:
        with pytest.raises(TaskDeferred):
            operator.execute(context)

    working = threading.Thread(target=run, daemon=True)
    working.start()
    until(lambda: bool(at.jobs))
    stored = record(context)
    answered.set()
    working.join(20)
    assert not working.is_alive()
    return stored


@pytest.mark.parametrize("protocol", [FOUND, KEYED], ids=["found", "keyed"])
def test_the_job_can_be_found_by_others_before_its_handle_is_known(
    at: Farm,  # noqa: F811
    context: Any,
    protocol: FarmJob,
) -> None:
    at.honours_keys = protocol.header
    stored = while_submitting(at, context, protocol=protocol)
    assert stored["handle"] is None
    assert stored["settles_at"] is not None
    assert stored["trace"]["key"] == at.only().key
    assert "render" not in str(stored)  # what was submitted is in no row that can be read
    assert isinstance(recreate(stored["trace"]["protocol"]), FarmJob)
    if "sealed" in stored["trace"]:
        whole = json.loads(unseal([PASSWORD], stored["trace"]["sealed"], at.only().key))
        assert recreate(whole) == protocol
    assert ("sealed" in stored["trace"]) == (protocol is KEYED)
    assert record(context)["handle"] == JobHandle("job-1").to_json()
    assert record(context)["trace"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"protocol": FarmJob(WORK, header=False, can_find=False)},
        {"protocol": FOUND, "on_kill": "leave"},
        {"protocol": FarmJob({**WORK, "rows": "x" * 100_000}, can_find=False)},
    ],
    ids=["neither key nor look", "left alone", "too large"],
)
def test_nothing_is_stored_where_others_could_or_should_not_end_the_job(
    at: Farm,  # noqa: F811
    context: Any,
    arguments: dict[str, Any],
) -> None:
    assert while_submitting(at, context, **arguments)["trace"] is None


def test_without_a_secret_to_seal_it_with_a_submission_is_not_stored(
    at: Farm,  # noqa: F811
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps({"conn_type": "gateway", "host": at.address}))
    assert while_submitting(at, context, protocol=KEYED)["trace"] is None


def test_a_protocol_of_a_dag_file_is_found_by_its_own_worker_alone(at: Farm, context: Any) -> None:  # noqa: F811
    class OfADag(FarmJob):
        """Nobody else can import it."""

    at.drop_answers = 100
    with pytest.raises(OutcomeUnknown):
        task(protocol=OfADag(WORK), deferrable=False).execute(context)
    assert record(context)["trace"] is None


@pytest.mark.parametrize("protocol", [FOUND, KEYED], ids=["found", "keyed"])
def test_a_submission_that_was_refused_leaves_nothing_to_be_found(
    at: Farm,  # noqa: F811
    context: Any,
    protocol: FarmJob,
) -> None:
    at.refuse_submissions = [403]
    with pytest.raises(GatewayError):
        task(protocol=protocol).execute(context)
    assert record(context)["trace"] is None
    assert not at.jobs


@pytest.mark.parametrize("protocol", [FOUND, KEYED], ids=["found", "keyed"])
def test_a_refusal_says_nothing_of_the_submission_before_it(
    at: Farm,  # noqa: F811
    context: Any,
    protocol: FarmJob,
) -> None:
    """The try before died while it submitted."""
    stored = while_submitting(at, context, protocol=protocol)
    context["task_state_store"].set("airgate.job", stored)
    at.refuse_submissions = [403]
    at.refuse_with = 403
    with pytest.raises(GatewayError):
        task(protocol=protocol).execute(context)
    assert record(context)["trace"]["key"] == at.only().key


def test_a_submission_whose_answers_are_lost_stays_to_be_found(at: Farm, context: Any) -> None:  # noqa: F811
    at.drop_answers = 100
    with pytest.raises(OutcomeUnknown):
        task(protocol=KEYED).execute(context)
    assert record(context)["trace"]["key"] == at.only().key


def test_a_submission_that_was_put_off_is_not_sent_by_others(at: Farm, context: Any) -> None:  # noqa: F811
    """The service asked to wait; while the task does, there is no submission under way."""
    at.refuse_submissions = [429]
    with clock.running(InstantTime()):
        operator = task(protocol=KEYED)
        with pytest.raises(TaskDeferred) as waits:
            operator.execute(context)
        assert waits.value.method_name == "resume_submission"
        assert record(context)["trace"] is None
        with pytest.raises(TaskDeferred) as waits:
            operator.resume_submission(context)
        assert waits.value.method_name == "resume"
    assert record(context)["handle"] == JobHandle("job-1").to_json()


def test_every_submission_under_a_key_says_anew_until_when_it_may_arrive(at: Farm, context: Any) -> None:  # noqa: F811
    lost(context, ago=3600)
    before = record(context)["settles_at"]
    assert while_submitting(at, context, protocol=KEYED)["settles_at"] > before + 3000


def test_what_the_version_before_stored_is_read(at: Farm, context: Any) -> None:  # noqa: F811
    lost(context, ago=0)
    assert "trace" not in record(context)
    assert while_submitting(at, context, protocol=KEYED)["trace"]["key"] == at.only().key


def test_a_submission_with_a_callback_is_stored_as_it_was_sent(
    at: Farm,  # noqa: F811
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service would refuse another body under the same key."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_URL", "https://airflow.example.com")
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_SECRETS", "ab" * 32)
    calls = FarmJob({**WORK, "notify": CALLBACK_URL}, can_find=False)
    trace = while_submitting(at, context, protocol=calls, callback=True)["trace"]
    stored = json.loads(unseal([PASSWORD], trace["sealed"], trace["key"]))["fields"]["body"]
    assert stored["notify"].startswith("https://airflow.example.com/")
    assert {**stored, "key": trace["key"]} == at.only().body


def test_what_is_sought_with_must_be_fields() -> None:
    @dataclass
    class Misnamed(FarmJob):
        sought: ClassVar[Sequence[str]] = ("nothing",)

    with pytest.raises(ValueError, match="sought of Misnamed names 'nothing', which is no field of it"):
        task(protocol=Misnamed(WORK), deferrable=False)


def test_no_callback_url_stands_in_what_is_sought_with() -> None:
    look = {"find_path": f"/jobs?of={CALLBACK_URL}&key={{key}}", "found": "@", "status_path": "/jobs/{id}"}
    found = Accepted(path="/x", honours_keys=True, **look)
    with pytest.raises(ValueError, match="find_path of the protocol is stored with the trigger"):
        task(protocol=found, callback=True)
