"""How the services with effects misbehave: before the effect, after it, late, and for each order by its own luck."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.services.effect_cases import (
    CASES,
    CHARGES,
    LOST,
    RESERVATIONS,
    Case,
    ask,
    done,
    events,
    outcome,
    perform,
    take_back,
    under,
)

if TYPE_CHECKING:
    from conftest import Service

Serving = Callable[[Case], "Service"]
PATIENCE = 20.0


@pytest.fixture
def serving(running: Callable[[str], Service]) -> Serving:
    def get(case: Case) -> Service:
        service = running(case.service)
        service.switch(preset="none", seed=0).raise_for_status()
        service.reset()
        return service

    return get


def wait(until: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.parametrize(("rate", "status"), [("unavailable", 503), ("rate_limited", 429)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_503_and_a_429_come_instead_of_the_effect(serving: Serving, case: Case, rate: str, status: int) -> None:
    """Twice in a row at most for each key, whatever comes between; nothing is done until it is said."""
    at = serving(case)
    at.switch(**{rate: 1.0})
    for _ in range(2):
        assert [perform(at, case, "o-1", key).status_code for key in ("k-1", "k-2", None)] == [status] * 3
    assert (events(at), at.truth()["effects"]) == ([], 0)
    assert [perform(at, case, "o-1", key).status_code for key in ("k-1", "k-2", None)] == [201] * 3
    assert at.truth()["served_counts"][f"status_{status}"] == 6


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_500_comes_after_the_effect(serving: Serving, case: Case) -> None:
    """The caller cannot know, the look-up does, and the third try is told what the first one did."""
    at = serving(case)
    at.switch(failed_after=1.0)
    for _ in range(2):
        failed = perform(at, case, "o-1", "k-1")
        assert (failed.status_code, failed.json()) == (500, {"error": "the service failed, on purpose"})
    told = perform(at, case, "o-1", "k-1")
    assert (told.status_code, told.headers.get("Idempotent-Replayed")) == (201, "true")
    assert [event for event, _, _ in events(at)] == ["effect", "replay", "replay"]
    assert at.truth()["served_counts"]["status_500"] == 2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_connection_is_dropped_after_the_effect(serving: Serving, case: Case) -> None:
    """The answer is lost, what was done stays done."""
    at = serving(case)
    at.switch(dropped=1.0)
    for _ in range(2):
        with pytest.raises(LOST):
            perform(at, case, "o-1", "k-1")
    at.switch(dropped=0.0)
    assert under(at, case, "k-1").json()["state"] == case.done
    assert [event for event, _, _ in events(at)] == ["effect", "replay"]


def test_the_answer_to_an_undo_is_lost_like_any_other(serving: Serving) -> None:
    """It is taken back although nobody said so."""
    at = serving(CHARGES)
    first = done(at, CHARGES, "o-1", "k-1")
    at.switch(dropped=1.0)
    with pytest.raises(LOST):
        take_back(at, CHARGES, first["id"])
    at.switch(dropped=0.0)
    assert under(at, CHARGES, "k-1").json()["state"] == "refunded"


def test_a_refusal_may_be_lost_as_well(serving: Serving) -> None:
    """And has still had no effect."""
    at = serving(CHARGES)
    at.switch(dropped=1.0)
    with pytest.raises(LOST):
        perform(at, CHARGES, "o-1", "k-1", card="tok_declined")
    at.switch(dropped=0.0)
    assert under(at, CHARGES, "k-1").status_code == 404
    assert events(at) == [("refusal", "o-1", "k-1")]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_slow_effect_comes_after_its_delay_even_if_the_caller_is_gone(serving: Serving, case: Case) -> None:
    """Nothing is done while the caller waits, and to hang up stops nothing."""
    at = serving(case)
    at.switch(slow=1.0, slow_seconds=2.0)
    with pytest.raises(requests.ReadTimeout):
        requests.post(at.url + case.path, json={"order": "o-1", **case.body}, timeout=0.3)
    assert at.truth()["effects"] == 0
    wait(lambda: bool(at.truth()["effects"] == 1))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_late_effect_comes_when_its_connection_is_long_gone(serving: Serving, case: Case) -> None:
    """Unless its key was cancelled in between."""
    at = serving(case)
    at.switch(dropped=1.0, late=1.5)
    for key in ("k-1", "k-2"):
        with pytest.raises(LOST):
            perform(at, case, "o-1", key)
    assert events(at) == []
    at.switch(dropped=0.0)
    assert under(at, case, "k-1").status_code == 404
    assert under(at, case, "k-1", "DELETE").json() == {"key": "k-1", "state": "cancelled"}
    wait(lambda: len(events(at)) == 3)
    assert events(at) == [("tombstone", None, "k-1"), ("refusal", "o-1", "k-1"), ("effect", "o-1", "k-2")]


def test_a_late_effect_is_forgotten_with_the_rest(serving: Serving) -> None:
    """A reset between the request and its effect leaves a clean service to the next test."""
    at = serving(RESERVATIONS)
    at.switch(dropped=1.0, late=0.4)
    with pytest.raises(LOST):
        perform(at, RESERVATIONS, "o-1", "k-1")
    at.reset()
    with pytest.raises(LOST):
        perform(at, RESERVATIONS, "o-2", "k-2")
    wait(lambda: len(events(at)) == 1)
    assert events(at) == [("effect", "o-2", "k-2")]


STORM = {"unavailable": 0.25, "rate_limited": 0.1, "failed_after": 0.25, "dropped": 0.2}


def life(at: Service, order: str, key: str) -> list[list[str]]:
    """Charge, look, refund, each until it is said to be done; gives what came back."""
    ids: list[str] = []

    def charge() -> requests.Response:
        answer = perform(at, CHARGES, order, key)
        ids.append(answer.json().get("id"))
        return answer

    steps: list[Callable[[], requests.Response]] = [
        charge,
        lambda: ask(at, "GET", f"/charges?order={order}"),
        lambda: under(at, CHARGES, key),
        lambda: take_back(at, CHARGES, ids[-1]),
        lambda: under(at, CHARGES, key, "DELETE"),
    ]
    came = []
    for step in steps:
        tries = [outcome(step)]
        while tries[-1] not in {"200", "201"}:
            tries.append(outcome(step))
        came.append(tries)
    return came


def test_the_luck_of_an_order_is_its_own(start: Callable[..., Service]) -> None:
    """Other orders, their number, their turn and the keys make no difference, nor does another process."""
    orders = [f"order {number}".replace(" ", "?date=2013-01-01&") for number in range(12)]
    came = []
    for run in range(2):
        at = start("payments", "--seed", "7")
        at.switch(**STORM).raise_for_status()
        turns = orders[:] if run == 0 else random.Random(1).sample([*orders, *(f"x-{n}" for n in range(9))], 21)
        came.append({order: life(at, order, f"run-{run}-{order[-2:]}") for order in turns})
    assert {order: came[1][order] for order in orders} == came[0]
    tries = list(itertools.chain.from_iterable(came[0].values()))
    assert max(map(len, tries)) <= 3
    assert set(itertools.chain.from_iterable(tries)) == {"200", "201", "429", "500", "503", "lost"}
    assert len(set(map(str, came[0].values()))) > 6


def test_a_storm_leaves_one_effect_an_order(serving: Serving) -> None:
    """Clients that try again with their keys get each order through once, all at the same time."""
    at = serving(RESERVATIONS)
    at.switch(**STORM, slow=0.2, slow_seconds=0.05)
    body = {"items": [{"sku": "eye-mask", "quantity": 1}]}
    said: Counter[Any] = Counter()

    def client(number: int) -> None:
        with requests.Session() as session:
            for order in (f"o-{number}-{turn}" for turn in range(10)):
                status = ""
                while status != "201":
                    status = outcome(
                        lambda order=order: session.post(  # type: ignore[misc]
                            at.url + "/reservations",
                            json={"order": order, **body},
                            headers={"Idempotency-Key": f"key-{order}"},
                            timeout=20,
                        )
                    )
                    said[status] += 1

    with ThreadPoolExecutor() as pool:
        list(pool.map(client, range(4)))
    at.switch(preset="none")
    truth = at.truth()
    assert said["201"] == 40 < said.total()
    assert {of["net"] for of in truth["orders"].values()} == {1}
    assert (len(truth["orders"]), truth["effects"]) == (40, 40)
    assert ask(at, "GET", "/stock/eye-mask").json()["reserved"] == 40
