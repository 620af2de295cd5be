"""The work service: one job a key, states by the clock, effects that can be looked at, a memory that outlives it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Service

PATIENCE = 20.0


@pytest.fixture
def work(running: Callable[[str], Service]) -> Service:
    service = running("work")
    service.switch(preset="none", seed=0, retry_after=1).raise_for_status()
    service.reset()
    return service


def post(service: Service, path: str, key: str | None = None, **body: Any) -> requests.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return service.session.post(service.url + path, json=body, headers=headers, timeout=10, allow_redirects=False)


def get(service: Service, path: str) -> requests.Response:
    return service.session.get(service.url + path, timeout=10, allow_redirects=False)


def delete(service: Service, path: str) -> requests.Response:
    return service.session.delete(service.url + path, timeout=10)


def finished(service: Service, path: str, **body: Any) -> dict[str, Any]:
    """Order work and wait until it is over; gives its status document."""
    taken = post(service, path, **{"name": "n", "seconds": 0, **body})
    assert taken.status_code == 202, taken.text
    ends = time.monotonic() + PATIENCE
    while (document := get(service, taken.headers["Location"]).json())["ended_at"] is None:
        assert time.monotonic() < ends
        time.sleep(0.02)
    return document


def test_an_order_is_taken_up_and_runs_by_the_clock(work: Service) -> None:
    """202 says where to ask and when; percent and phase come from the time that has passed."""
    taken = post(work, "/builds", name="web", seconds=3600)
    assert (taken.status_code, taken.headers["Retry-After"]) == (202, "1")
    job = taken.json()["id"]
    assert taken.headers["Location"] == f"/jobs/{job}"
    shown = get(work, f"/jobs/{job}").json()
    assert (shown["status"], shown["ended_at"], shown["result"]) == ("queued", None, None)
    short = post(work, "/builds", name="web", seconds=2).json()["id"]
    ends = time.monotonic() + PATIENCE
    seen = []
    while not seen or seen[-1][0] in {"queued", "running"}:
        document = get(work, f"/jobs/{short}").json()
        seen.append((document["status"], document["percent"]))
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert [percent for _, percent in seen] == sorted(percent for _, percent in seen)
    assert {"running", "succeeded"} <= {status for status, _ in seen}
    assert seen[-1] == ("succeeded", 100.0)


def test_one_key_makes_one_job(work: Service) -> None:
    """The same order under a key gives the same job, another one is refused, and the key finds it."""
    first = post(work, "/builds", "k-1", name="web", seconds=60)
    again = post(work, "/builds", "k-1", seconds=60, name="web")
    assert again.json()["id"] == first.json()["id"]
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    for path, name in (("/builds", "other"), ("/checks", "web")):
        extra = {"target": "t"} if path == "/checks" else {}
        refused = post(work, path, "k-1", name=name, seconds=60, **extra)
        assert (refused.status_code, refused.json()["parameter"]) == (422, "Idempotency-Key")
    assert [job["id"] for job in get(work, "/jobs?key=k-1").json()["jobs"]] == [first.json()["id"]]
    assert get(work, "/jobs?key=k-2").json() == {"jobs": []}
    truth = work.truth()
    assert [truth[name] for name in ("jobs", "submissions", "replays", "refused_keys")] == [1, 4, 1, 2]


@pytest.mark.parametrize(
    ("path", "body", "result"),
    [
        ("/builds", {"name": "web", "revision": "v1"}, {"artifact": "web-v1"}),
        ("/checks", {"target": "web-v1"}, {"passed": True, "target": "web-v1", "findings": []}),
        ("/checks", {"target": "web-v1", "passes": False}, {"passed": False}),
        ("/deployments", {"environment": "e", "version": "v1"}, {"version": "v1", "previous": None}),
        ("/plans", {"environment": "e", "resources": ["db"]}, {"create": ["db"], "keep": []}),
        ("/destroys", {"environment": "e"}, {"destroyed": []}),
    ],
)
def test_each_kind_has_its_result(work: Service, path: str, body: dict[str, Any], result: dict[str, Any]) -> None:
    """And each can be told to fail, with its reason at the end of the log."""
    document = finished(work, path, **body)
    assert document["status"] == "succeeded"
    assert document["result"] | result == document["result"]
    failed = finished(work, path, **body, fail="no space left")
    assert (failed["status"], failed["error"]["message"], failed["result"]) == ("failed", "no space left", None)
    assert get(work, f"/jobs/{failed['id']}/log").text.endswith("failed: no space left\n")


def test_a_deployment_tells_what_to_go_back_to(work: Service) -> None:
    """What runs is the last one that succeeded; a failed or cancelled one changes nothing."""
    assert get(work, "/deployments/current?environment=prod").status_code == 404
    finished(work, "/deployments", environment="prod", version="v1")
    second = finished(work, "/deployments", environment="prod", version="v2", healthy=False)
    assert second["result"]["previous"] == "v1"
    finished(work, "/deployments", environment="prod", version="v3", fail="port in use")
    delete(work, post(work, "/deployments", name="n", seconds=60, environment="prod", version="v4").headers["Location"])
    current = get(work, "/deployments/current?environment=prod").json()
    assert (current["version"], current["healthy"], current["previous"]) == ("v2", False, "v1")
    finished(work, "/deployments", environment="prod", version=current["previous"])
    assert get(work, "/deployments/current?environment=prod").json()["version"] == "v1"


def test_an_environment_is_planned_applied_and_destroyed(work: Service) -> None:
    """Its state is that of the jobs; an apply takes only a plan of its environment that succeeded."""
    state = lambda: get(work, "/environments/qa").json()  # noqa: E731
    assert (state()["state"], state()["job"]) == ("absent", None)
    plan = finished(work, "/plans", environment="qa", resources=["db", "web"])["result"]["plan"]
    for bad in ("plan-999999", "nonsense"):
        refused = post(work, "/applies", name="n", environment="qa", plan=bad)
        assert (refused.status_code, refused.json()["parameter"]) == (422, "plan")
    assert post(work, "/applies", name="n", environment="other", plan=plan).status_code == 422
    running = post(work, "/applies", name="n", environment="qa", plan=plan, seconds=60)
    assert state()["state"] == "changing"
    delete(work, running.headers["Location"]).raise_for_status()
    assert state()["state"] == "absent"
    finished(work, "/applies", environment="qa", plan=plan)
    assert (state()["state"], state()["resources"]) == ("ready", ["db", "web"])
    assert finished(work, "/plans", environment="qa", resources=["db", "cache"])["result"]["create"] == ["cache"]
    assert finished(work, "/destroys", environment="qa")["result"]["destroyed"] == ["db", "web"]
    assert state()["state"] == "absent"


def test_a_job_is_cancelled_once(work: Service) -> None:
    """The second time it is over, and the ledger has one cancellation of two that were asked for."""
    place = post(work, "/builds", name="web", seconds=60).headers["Location"]
    assert delete(work, place).status_code == 200
    assert delete(work, place).status_code == 409
    assert get(work, place).json()["status"] == "cancelled"
    truth = work.truth()
    assert (truth["cancel_requests"], truth["cancellations"], truth["states"]["cancelled"]) == (2, 1, 1)
    events = [event["event"] for event in get(work, "/-/ledger").json()["events"]]
    assert events == ["submitted", "cancel asked", "cancelled", "cancel asked"]


def test_an_export_speaks_in_statuses(work: Service) -> None:
    """202 while it runs, 303 to the rows, 422 when it failed, 410 when it was cancelled."""
    long = post(work, "/exports", name="e", seconds=60)
    assert (long.status_code, long.headers["Location"]) == (202, f"/exports/{long.json()['id']}")
    assert (get(work, long.headers["Location"]).status_code, get(work, "/exports/export-0").status_code) == (202, 404)
    assert get(work, f"{long.headers['Location']}/result").status_code == 409
    delete(work, long.headers["Location"]).raise_for_status()
    assert get(work, long.headers["Location"]).status_code == 410
    short = get(work, post(work, "/exports", name="e", seconds=0, rows=2).headers["Location"])
    assert short.status_code == 303
    assert get(work, short.headers["Location"]).json() == {"rows": [{"row": 0, "of": "e"}, {"row": 1, "of": "e"}]}
    failed = get(work, post(work, "/exports", name="e", seconds=0, fail="disk").headers["Location"])
    assert (failed.status_code, failed.json()["error"]) == (422, "disk")


def test_a_signed_address_has_to_be_asked_with_its_signature(work: Service) -> None:
    """Without it or with another one it is closed, and no list shows its job."""
    taken = post(work, "/builds", name="web", seconds=60, location="signed")
    place, query = taken.headers["Location"].split("?")
    assert get(work, f"{place}?{query}").status_code == 200
    assert [get(work, target).status_code for target in (place, f"{place}?sig=x", f"{place}/log")] == [403, 403, 403]
    assert get(work, "/jobs").json() == {"jobs": []}


def test_many_jobs_are_shown_at_once(work: Service) -> None:
    """By their names, in order; unknown ones are left out."""
    ids = [post(work, "/builds", name="web", reference=f"r-{number}").json()["id"] for number in range(3)]
    shown = get(work, f"/jobs?ids={ids[2]},build-0,{ids[0]}").json()["jobs"]
    assert [job["id"] for job in shown] == [ids[2], ids[0]]
    assert [job["id"] for job in get(work, "/jobs?reference=r-1").json()["jobs"]] == [ids[1]]
    assert get(work, "/jobs?ids=" + ",".join(f"build-{number}" for number in range(201))).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "status", "parameter"),
    [
        ("/builds", b"{", 400, None),
        ("/builds", b"{}", 422, "name"),
        ("/builds", b'{"name": "web", "seconds": -1}', 422, "seconds"),
        ("/builds", b'{"name": "web", "other": 1}', 422, "other"),
        ("/checks", b'{"name": "web"}', 422, "target"),
        ("/builds", b"[]", 422, None),
    ],
)
def test_a_wrong_order_is_refused_by_name(
    work: Service, path: str, body: bytes, status: int, parameter: str | None
) -> None:
    """And makes no job."""
    refused = work.session.post(work.url + path, data=body, timeout=10)
    assert (refused.status_code, refused.json()["parameter"]) == (status, parameter)
    assert work.truth()["jobs"] == 0


def test_a_dropped_answer_has_had_its_effect_and_a_503_has_not(work: Service) -> None:
    """What makes a submission doubtful: the job is there although nobody said so."""
    work.switch(dropped=1.0)
    with pytest.raises(requests.ConnectionError):
        post(work, "/builds", "k-1", name="web", seconds=60)
    assert work.truth()["jobs"] == 1
    work.switch(dropped=0.0, unavailable=1.0)
    work.reset()
    assert post(work, "/builds", "k-1", name="web", seconds=60).status_code == 503
    assert work.truth()["jobs"] == 0


def test_a_500_comes_after_the_job_was_taken_up(work: Service) -> None:
    """And keys can be switched off, so that another try makes another job."""
    work.switch(failed_after=1.0)
    assert post(work, "/builds", "k-1", name="web", seconds=60).status_code == 500
    assert (work.truth()["jobs"], work.truth()["served_counts"]["status_500"]) == (1, 1)
    work.switch(failed_after=0.0, honours_keys=False)
    assert post(work, "/builds", "k-1", name="web", seconds=60).headers.get("Idempotent-Replayed") is None
    assert work.truth()["jobs"] == 2
    work.switch(preset="none")
    bad = work.session.post(work.url + "/builds", data=b'{"name": "\xff"}', timeout=10)
    assert (bad.status_code, bad.json()["parameter"]) == (400, None)


def test_jobs_outlive_a_killed_process(start: Callable[..., Service], tmp_path: Path) -> None:
    """It is killed in the middle of a job: the next process goes on with it, key, clock and signature included."""
    file = str(tmp_path / "work.sqlite")
    first = start("work", "--store", file)
    taken = post(first, "/builds", "k-1", name="web", seconds=3600, location="signed")
    began = get(first, taken.headers["Location"]).json()["submitted_at"]
    first.stop(signal.SIGKILL)
    second = start("work", "--store", file)
    assert get(second, taken.headers["Location"]).json()["submitted_at"] == began
    assert (
        post(second, "/builds", "k-1", name="web", seconds=3600, location="signed").json()["id"] == (taken.json()["id"])
    )
    assert second.truth()["jobs"] == 1
