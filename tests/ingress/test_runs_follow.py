"""Runs that clients follow: what they are told, how long they wait, and whose runs they see."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.ingress.conftest import Ingress, serving

pytestmark = pytest.mark.integration


def started(ingress: Ingress, dag_id: str = "orders", who: str = "ada:admin") -> str:
    """The id of a new run."""
    params = {"item": "book"} if dag_id == "orders" else {}
    return str(ingress.start(dag_id, params, who=who).json()["id"])


def look(ingress: Ingress, run_id: str, dag_id: str = "orders", **more: Any) -> Any:
    """How a run stands."""
    answer = ingress.ask("GET", f"/dags/{dag_id}/runs/{run_id}", **more)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_run_shows_its_state_and_progress(ingress: Ingress) -> None:
    run_id = started(ingress)
    ingress.do("set_run", "orders", run_id, "running")
    ingress.do("set_task", "orders", run_id, "pick", "success")
    told = look(ingress, run_id).json()
    assert (told["state"], told["progress"], told["percent"]) == ("running", {"done": 1, "total": 2}, 50)
    assert "result" not in told
    assert "problem" not in told


def test_a_run_that_succeeded_gives_the_result_of_its_dag(ingress: Ingress) -> None:
    run_id = started(ingress)
    ingress.do("push", "orders", run_id, "pick", "return_value", 1)
    ingress.do("push", "orders", run_id, "told", "return_value", {"picked": 1}, True)
    assert "result" not in look(ingress, run_id).json()
    ingress.do("set_run", "orders", run_id, "success")
    answer = look(ingress, run_id)
    assert answer.json()["result"] == {"picked": 1}
    assert "retry-after" not in answer.headers


def test_a_run_that_failed_names_the_task_that_failed_first(ingress: Ingress) -> None:
    run_id = started(ingress)
    ingress.do("set_task", "orders", run_id, "told", "failed", 2)
    ingress.do("set_task", "orders", run_id, "pick", "failed", 1)
    ingress.do("set_run", "orders", run_id, "failed")
    told = look(ingress, run_id).json()
    assert told["problem"] == {
        "type": "about:blank",
        "title": "The run failed",
        "detail": "Task pick failed.",
        "task": "pick",
    }


def test_a_saga_that_failed_tells_how_it_ended(ingress: Ingress) -> None:
    run_id = started(ingress, "shipping")
    ingress.do("set_task", "shipping", run_id, "sale.charge", "failed")
    ingress.do("set_task", "shipping", run_id, "sale.verdict", "failed", 1)
    view = {
        "saga": "sale",
        "map_index": -1,
        "state": "compensated",
        "why": "charge is not done",
        "steps": [],
        "epoch": 1,
    }
    ingress.do("push", "shipping", run_id, "sale.verdict", "saga", view)
    ingress.do("set_run", "shipping", run_id, "failed")
    problem = look(ingress, run_id, "shipping").json()["problem"]
    assert problem["detail"] == "compensated: charge is not done"
    assert problem["task"] == "sale.charge"
    assert problem["sagas"] == [{name: view[name] for name in ("saga", "map_index", "state", "why")}]


def test_an_etag_says_that_nothing_has_changed(ingress: Ingress) -> None:
    run_id = started(ingress)
    etag = look(ingress, run_id).headers["etag"]
    path = f"/dags/orders/runs/{run_id}"
    answer = ingress.ask("GET", path, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    ingress.do("set_run", "orders", run_id, "running")
    assert ingress.ask("GET", path, headers={"If-None-Match": etag}).status_code == 200


def test_a_client_that_waits_is_told_when_the_run_is_over(ingress: Ingress) -> None:
    run_id = started(ingress)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(look, ingress, run_id, headers={"Prefer": "respond-async, wait=20"})
        time.sleep(1)
        assert not waiting.done()
        ingress.do("set_run", "orders", run_id, "success")
        began = time.monotonic()
        answer = waiting.result(20)
    assert time.monotonic() - began < 10
    assert answer.json()["state"] == "success"
    assert answer.headers["preference-applied"] == "wait=20"


def test_a_wait_ends_when_it_is_as_long_as_the_client_prefers(ingress: Ingress) -> None:
    answer = look(ingress, started(ingress), headers={"Prefer": "wait=1"})
    assert answer.json()["state"] == "queued"
    assert answer.headers["preference-applied"] == "wait=1"


def test_a_start_may_wait_for_the_end_as_well(ingress: Ingress) -> None:
    run_id = ingress.start("orders", {"item": "pen"}, "waits").json()["id"]
    ingress.do("set_run", "orders", run_id, "success")
    answer = ingress.start("orders", {"item": "pen"}, "waits", headers={"Prefer": "wait=5"})
    assert (answer.status_code, answer.json()["state"], answer.headers["idempotent-replayed"]) == (
        200,
        "success",
        "true",
    )


def test_the_pages_of_a_caller_hold_each_of_its_runs_once_newest_first(ingress: Ingress) -> None:
    own = [started(ingress, who="lister:admin") for _ in range(5)]
    started(ingress, who="other:admin")
    seen: list[str] = []
    path = "/dags/orders/runs?limit=2"
    for _ in range(4):
        answer = ingress.ask("GET", path, who="lister:admin").json()
        seen += [run["id"] for run in answer["runs"]]
        if answer["next"] is None:
            break
        path = answer["next"].removeprefix("/airgate/v1")
        if len(seen) == 2:
            started(ingress, who="lister:admin")  # a new one moves no page
    assert seen == own[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=1000", "limit=x", "cursor=x", "cursor=W10", "cursor=WzEsMl0"])
def test_a_page_that_there_is_not_is_refused(ingress: Ingress, query: str) -> None:
    assert ingress.ask("GET", f"/dags/orders/runs?{query}").status_code == 400


@pytest.mark.parametrize("run_id", ["in__" + "0" * 32, "manual__2026", "x", "%00"])
def test_a_run_that_there_is_not_is_not_found(ingress: Ingress, run_id: str) -> None:
    assert ingress.ask("GET", f"/dags/orders/runs/{run_id}").status_code == 404
    assert ingress.ask("DELETE", f"/dags/orders/runs/{run_id}").status_code == 404


def test_no_more_requests_are_held_or_taken_than_are_set(tmp_path: Path) -> None:
    with serving(tmp_path, AIRFLOW__AIRGATE__INGRESS_MOST_WAITING="1", AIRFLOW__AIRGATE__INGRESS_RATE="12/h") as small:
        run_id = started(small)
        arrived = threading.Barrier(3)

        def waits() -> str | None:
            arrived.wait()
            header = look(small, run_id, headers={"Prefer": "wait=3"}).headers.get("preference-applied")
            return None if header is None else str(header)

        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(waits) for _ in range(2)]
            arrived.wait()
            assert sorted(str(each.result(30)) for each in asked) == ["None", "wait=3"]
        assert look(small, run_id, headers={"Prefer": "wait=1"}).headers["preference-applied"] == "wait=1"
        host, port = small.address.removeprefix("http://").split(":")
        head = f"GET /airgate/v1/dags/orders/runs/{run_id} HTTP/1.1\r\nHost: x\r\nPrefer: wait=25\r\n"
        with socket.create_connection((host, int(port)), timeout=20) as leaving:
            leaving.sendall(f"{head}Authorization: Bearer {small.token('ada:admin')}\r\n\r\n".encode())
            time.sleep(1)
        ends = time.monotonic() + 15
        for number in itertools.count():  # its place is free again long before its wait is over
            answer = look(small, run_id, who=f"u{number}:admin", headers={"Prefer": "wait=1"})
            if "preference-applied" in answer.headers:
                break
            assert time.monotonic() < ends
            time.sleep(0.2)
        statuses = [small.ask("GET", f"/dags/orders/runs/{run_id}").status_code for _ in range(8)]
        assert statuses[-1] == 429
        assert small.ask("GET", f"/dags/orders/runs/{run_id}", who="bob:admin").status_code == 200
