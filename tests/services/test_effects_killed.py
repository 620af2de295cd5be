"""SIGKILL to a service with effects: what was answered is kept, what was not is whole or not there."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.services.effect_cases import CASES, RESERVATIONS, Case, ask, done, events, perform, take_back, under

if TYPE_CHECKING:
    from conftest import Service

ROUNDS = 5
CLIENTS = 4


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_was_done_outlives_the_process(start: Callable[..., Service], tmp_path: Path, case: Case) -> None:
    """Effects, undos, keys, tombstones, the ledger: the next process goes on with all of them."""
    file = str(tmp_path / "effects.sqlite")
    at = start(case.service, "--store", file)
    first = done(at, case, "o-1", "k-1")
    under(at, case, "k-2", "DELETE")
    back = take_back(at, case, done(at, case, "o-3", "k-3")["id"]).json() if case.undo else None
    written = events(at)
    at.stop(signal.SIGKILL)
    at = start(case.service, "--store", file)
    assert events(at) == written
    again = perform(at, case, "o-1", "k-1")
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first, "true")
    assert perform(at, case, "o-2", "k-2").status_code == 409
    assert back is None or under(at, case, "k-3").json() == back
    assert done(at, case, "o-4", "k-4")["id"] != first["id"]


class Crowd:
    """Clients that send orders until the service is gone; each second effect is taken back where that can be."""

    def __init__(self, at: Service, case: Case, turn: int) -> None:
        self.at, self.case, self.turn = at, case, turn
        self.sent: set[str] = set()
        self.kept: dict[str, dict[str, Any]] = {}
        """Order -> the last document that was answered."""
        self.undoing: set[str] = set()
        self.lock = threading.Condition()

    def answered(self, number: int) -> None:
        """Wait for so many answers."""
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.kept) >= number, 30)

    def client(self, number: int) -> None:
        with requests.Session() as session:
            for count in range(100_000):
                try:
                    self._one(session, f"o-{self.turn}-{number}-{count}", undone=count % 2 == 1)
                except requests.RequestException:
                    return

    def _one(self, session: requests.Session, order: str, *, undone: bool) -> None:
        self.sent.add(order)
        url = self.at.url + self.case.path
        body, headers = {"order": order, **self.case.body}, {"Idempotency-Key": f"k-{order}"}
        self._keep(order, session.post(url, json=body, headers=headers, timeout=20))
        if self.case.undo and undone:
            method, below = self.case.undo
            self.undoing.add(order)
            self._keep(order, session.request(method, f"{url}/{self.kept[order]['id']}{below}", timeout=20))

    def _keep(self, order: str, answer: requests.Response) -> None:
        answer.raise_for_status()
        with self.lock:
            self.kept[order] = answer.json()
            self.lock.notify_all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(
    start: Callable[..., Service], tmp_path: Path, case: Case
) -> None:
    """Several times, in the middle of requests of many clients, on one file."""
    file = str(tmp_path / "effects.sqlite")
    for turn in range(ROUNDS):
        at = start(case.service, "--store", file)
        crowd = Crowd(at, case, turn)
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(crowd.client, number) for number in range(CLIENTS)]
            crowd.answered(15 + 7 * turn)
            at.process.kill()
        for client in clients:
            client.result()
        at.stop()
        judge(start(case.service, "--store", file), crowd)


def judge(at: Service, crowd: Crowd) -> None:
    """Answers are kept; ledger, effects and stock tell the same story; to send all again makes each there once."""
    case = crowd.case
    for order, document in crowd.kept.items():
        now = under(at, case, f"k-{order}").json()
        # An undo that was never answered may have happened.
        assert now == document or (order in crowd.undoing and now == {**document, "state": case.undone}), order
    agree(at, case)
    for order in crowd.sent:
        again = perform(at, case, order, f"k-{order}")
        assert again.status_code == (409 if under(at, case, f"k-{order}").json()["state"] == case.undone else 201)
    truth = at.truth()["orders"]
    assert crowd.sent <= truth.keys()
    assert {of["effects"] for of in truth.values()} == {1}
    agree(at, case)
    at.stop()


def agree(at: Service, case: Case) -> None:
    """No half effect: each has one ledger line, each undo one, and the stock is what is held."""
    lines = Counter(events(at))
    truth = at.truth()["orders"]
    for event, name in (("effect", "effects"), ("undo", "undone")):
        wrote = {(order, f"k-{order}"): of[name] for order, of in truth.items() if of[name]}
        assert {(order, key): count for (kind, order, key), count in lines.items() if kind == event} == wrote
    if case is RESERVATIONS:
        held = sum(of["net"] for of in truth.values())
        for item in case.body["items"]:
            shelf = ask(at, "GET", f"/stock/{item['sku']}").json()
            reserved = held * item["quantity"]
            assert (shelf["reserved"], shelf["available"]) == (reserved, 1_000_000 - reserved)
