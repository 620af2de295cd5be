"""Callbacks through a real gateway to a real api-server, with scheduler and triggerer: each ends its own wait, once."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airgate.hooks.callbacks import SETTLES
from airgate.policy.callback import CallbackToken
from stack import marks
from tests.integration.callback_stack import SECRETS, CallbackStack, callback_stack, until

pytestmark = pytest.mark.integration

CALLED = ("plain", "twice", "at-once", "early", "last-step", "forged", "rotated", "cleared", "ended")
SOON = ("lost",)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CallbackStack]:
    """The stack, with one run for each test; all of them wait."""
    home = tmp_path_factory.mktemp("callbacks") / "home"
    with callback_stack(home) as stack:
        for dag_id, runs in (("called_back", CALLED), ("looked_at_soon", SOON)):
            for run_id in runs:
                stack.airflow.trigger(dag_id, run_id, {})
        for run_id in CALLED:
            stack.wait("called_back", run_id, "deferred", 120)
        time.sleep(SETTLES)  # before that no task is resumed
        yield stack
    assert marks.marked(home) == []


def parts(address: str) -> tuple[str, str]:
    """The address and the token of a callback URL."""
    base, _, token = address.rpartition("/")
    return base, token


def again(address: str, secret: str, **changes: Any) -> str:
    """The URL with other contents, signed by a secret."""
    base, text = parts(address)
    return f"{base}/{dataclasses.replace(CallbackToken.read(text, SECRETS), **changes).signed(secret)}"


def test_the_url_is_stored_nowhere_and_shown_to_nobody(at: CallbackStack) -> None:
    """First of all, while all of them wait: the result of this service holds what was submitted."""
    stored = at.stored()
    said = b"".join(path.read_bytes() for path in at.layout.logs.glob("dag_id=*/**/*.log"))
    assert b"airgate.job" in stored
    assert b"submitted" in said
    for run_id in CALLED:
        _, token = parts(at.address(run_id))
        assert all(part.encode() not in stored + said for part in token.split("."))


def test_a_callback_ends_the_wait_long_before_the_next_poll(at: CallbackStack) -> None:
    [job] = at.submitted("plain")
    looks = job.looks
    job.state = "succeeded"
    assert at.call(at.address("plain")).status_code == 204
    at.wait("called_back", "plain", "success", 60)
    came = at.airflow.xcom("called_back", "plain", "work", "airgate_job")
    assert (came["called_back"], came["state"], came["seconds"] < 60) == (True, "succeeded", True)
    # The endpoint, the worker for the result, and the triggerer, which is told that a person has ended the wait.
    until(lambda: job.looks >= looks + 3, 20, "the triggerer did not look before it would cancel")
    assert job.cancels == 0


def test_a_callback_counts_once(at: CallbackStack) -> None:
    [job] = at.submitted("twice")
    job.state = "succeeded"
    answers = [at.call(at.address("twice")) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 409]
    assert answers[1].headers["content-type"] == "application/problem+json"
    assert answers[1].json()["detail"] == "Nothing waits for this callback, or not any more."
    at.wait("called_back", "twice", "success", 60)
    assert at.call(at.address("twice")).status_code == 409


def test_many_callbacks_at_once_resume_the_task_once(at: CallbackStack) -> None:
    [job] = at.submitted("at-once")
    job.state = "succeeded"
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(at.call, [at.address("at-once")] * 8)]
    assert set(statuses) <= {204, 409}
    assert 204 in statuses
    at.wait("called_back", "at-once", "success", 60)
    assert at.farm.requests.count(("GET", f"/jobs/{job.id}/result")) == 1


def test_an_early_callback_changes_nothing(at: CallbackStack) -> None:
    [job] = at.submitted("early")
    for _ in range(5):
        assert at.call(at.address("early")).status_code == 202
    assert job.looks <= 3  # and not once a call
    assert at.task("called_back", "early")["state"] == "deferred"
    job.state = "succeeded"
    time.sleep(1.1)  # within a second the service is not asked again
    assert at.call(at.address("early")).status_code in {204, 409}  # 409: it was looked at again meanwhile
    at.wait("called_back", "early", "success", 60)


def test_a_job_that_calls_as_its_last_step_is_seen_to_be_over(at: CallbackStack) -> None:
    [job] = at.submitted("last-step")
    assert at.call(at.address("last-step")).status_code == 202
    job.state = "succeeded"
    at.wait("called_back", "last-step", "success", 60)


def test_what_is_not_signed_or_not_for_this_wait_is_refused(at: CallbackStack) -> None:
    address = at.address("forged")
    base, token = parts(address)
    payload, _, signature = token.partition(".")
    cases = {
        f"{base}/{payload}.{signature[:-2]}AA": 401,
        f"{base}/{parts(at.address('ended'))[1].split('.')[0]}.{signature}": 401,
        f"{base}/nothing": 401,
        again(address, "a-secret-of-somebody-else-0123456789abcdef"): 401,
        again(address, SECRETS[0], expires_at=int(time.time()) - 1): 410,
        again(address, SECRETS[0], nonce="another"): 409,
        again(address, SECRETS[0], run_id="no-such-run"): 409,
        again(address, SECRETS[0], task_id="no-such-task"): 409,
        again(address, SECRETS[0], map_index=3): 409,
    }
    [job] = at.submitted("forged")
    job.state = "succeeded"
    assert {one: at.call(one).status_code for one in cases} == cases
    assert job.looks == 0
    assert at.task("called_back", "forged")["state"] == "deferred"


@pytest.mark.parametrize("secret", SECRETS, ids=["new", "old"])
def test_both_secrets_are_known_while_they_are_rotated(at: CallbackStack, secret: str) -> None:
    address = again(at.address("rotated"), secret)
    assert at.call(address).status_code in {202, 409}
    [job] = at.submitted("rotated")
    job.state = "succeeded"
    if secret == SECRETS[1]:
        time.sleep(1.1)
        assert at.call(address).status_code in {204, 409}
        at.wait("called_back", "rotated", "success", 60)


def test_only_a_small_post_is_taken(at: CallbackStack) -> None:
    api = at.airflow.address + "/airgate/v1/callbacks"
    for base in (parts(at.address("forged"))[0], api):
        assert at.call(f"{base}/x", b"x" * 65537).status_code == 413
    assert at.call(f"{api}/x", method="GET").status_code == 405
    assert at.call(f"{api}/x", method="GET").headers["content-type"] == "application/problem+json"
    for hidden in ("docs", "redoc"):
        assert at.call(f"{at.airflow.address}/airgate/v1/{hidden}", method="GET").status_code == 404
    assert at.call(f"{at.airflow.address}/airgate/v1/openapi.json", method="GET").status_code == 401


def test_after_a_clear_only_the_next_job_can_call(at: CallbackStack) -> None:
    before = at.address("cleared")
    at.airflow.clear("called_back", "cleared", ["work"])
    until(lambda: len(at.submitted("cleared")) == 2, 60, "no second job")
    at.wait("called_back", "cleared", "deferred")
    first, second = at.submitted("cleared")
    assert first.state == "cancelled"
    assert at.call(before).status_code == 409
    assert second.looks == 0
    assert at.call(at.address("cleared")).status_code == 202
    second.state = "succeeded"
    at.wait("called_back", "cleared", "success", 60)
    assert second.cancels == 0


def test_a_callback_right_after_the_deferral_is_kept_until_the_scheduler_knows_of_it(at: CallbackStack) -> None:
    at.airflow.trigger("called_back", "at-once-over", {})
    at.wait("called_back", "at-once-over", "deferred")
    at.submitted("at-once-over")[-1].state = "succeeded"
    assert at.call(at.address("at-once-over")).status_code == 202
    assert at.wait("called_back", "at-once-over", "success", 60) > 5


def test_nothing_waits_after_a_run_was_marked_failed(at: CallbackStack) -> None:
    [job] = at.submitted("ended")
    at.airflow.fail_run("called_back", "ended")
    until(lambda: job.state == "cancelled", 30, "the job was not cancelled")
    assert at.call(at.address("ended")).status_code == 409


def test_a_lost_callback_is_made_good_by_a_poll(at: CallbackStack) -> None:
    [job] = at.submitted("lost")
    job.state = "succeeded"
    at.wait("looked_at_soon", "lost", "success", 60)
    assert at.airflow.xcom("looked_at_soon", "lost", "work", "airgate_job")["called_back"] is False
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/airgate/v1/callbacks/[\w-]+\.[\w-]+", at.address("lost"))
