"""What the services with effects have in common: an effect a key, look-ups, the way back, a true ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.effect_cases import (
    CASES,
    FINAL,
    NOTICES,
    REVERSIBLE,
    SHIPMENTS,
    Case,
    ask,
    done,
    events,
    perform,
    sums,
    take_back,
    under,
)

if TYPE_CHECKING:
    from conftest import Service

Serving = Callable[[Case], "Service"]


@pytest.fixture
def serving(running: Callable[[str], Service]) -> Serving:
    def get(case: Case) -> Service:
        service = running(case.service)
        service.switch(preset="none", seed=0).raise_for_status()
        service.reset()
        return service

    return get


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_key_has_one_effect(serving: Serving, case: Case) -> None:
    """The same body under it gets the first answer again and says so; another body is refused."""
    at = serving(case)
    first, again = perform(at, case, "o-1", "k-1"), perform(at, case, "o-1", "k-1")
    assert (first.status_code, first.headers.get("Idempotent-Replayed")) == (201, None)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (201, "true")
    assert first.content == again.content
    assert first.json()["state"] == case.done
    assert (first.json()["order"], first.json()["key"]) == ("o-1", "k-1")
    for order, changes in (("o-1", case.other), ("o-2", {})):
        refused = perform(at, case, order, "k-1", **changes)
        assert (refused.status_code, refused.json()["parameter"]) == (422, "Idempotency-Key")
    assert sums(at, "o-1") == (1, 0, 1, [case.done])
    assert [event for event, _, _ in events(at)] == ["effect", "replay", "refusal", "refusal"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_body_may_be_written_in_another_way(serving: Serving, case: Case) -> None:
    """Order of the fields, white space and 2.0 for 2 make no other body."""
    at = serving(case)
    first = done(at, case, "o-1", "k-1")
    body = dict(reversed({"order": "o-1", **case.body}.items()))
    if "amount" in body:
        body["amount"] = float(body["amount"])
    assert ask(at, "POST", case.path, "k-1", body).json() == first


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_a_key_every_request_is_an_effect_of_its_own(serving: Serving, case: Case) -> None:
    """Which is what keys are for."""
    at = serving(case)
    ids = [done(at, case, "o-1")["id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert sums(at, "o-1") == (3, 0, 3, [case.done] * 3)
    assert events(at) == [("effect", "o-1", None)] * 3


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_effect_is_found_by_id_key_and_order(serving: Serving, case: Case) -> None:
    """And nothing else is."""
    at = serving(case)
    first, second, other = done(at, case, "o-1", "k/1"), done(at, case, "o-1"), done(at, case, "o-2", "k-2")
    assert ask(at, "GET", f"{case.path}/{first['id']}").json() == first
    assert under(at, case, "k/1").json() == first
    assert ask(at, "GET", f"{case.path}?order=o-1").json() == {case.name: [first, second]}
    assert ask(at, "GET", f"{case.path}?order=o-2").json() == {case.name: [other]}
    assert ask(at, "GET", f"{case.path}?order=o-3").json() == {case.name: []}
    for id_ in ("nothing", first["id"] + "0", "x-" + first["id"].rpartition("-")[2]):
        assert ask(at, "GET", f"{case.path}/{id_}").status_code == 404
    assert under(at, case, "k-3").status_code == 404
    for target in (case.path, f"{case.path}?order="):
        missing = ask(at, "GET", target)
        assert (missing.status_code, missing.json()["parameter"]) == (400, "order")


@pytest.mark.parametrize("by", ["id", "key"])
@pytest.mark.parametrize("case", REVERSIBLE, ids=str)
def test_an_effect_is_taken_back_once(serving: Serving, case: Case, by: str) -> None:
    """However often that is asked for, in whichever way; look-ups show its state from then on."""
    at = serving(case)
    first = done(at, case, "o-1", "k-1")
    undo: Callable[[], Any] = (
        (lambda: take_back(at, case, first["id"])) if by == "id" else (lambda: under(at, case, "k-1", "DELETE"))
    )
    answers = [undo() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    back = {**first, "state": case.undone}
    assert [answer.json() for answer in answers] == [back] * 3
    assert under(at, case, "k-1").json() == take_back(at, case, first["id"]).json() == back
    assert ask(at, "GET", f"{case.path}?order=o-1").json() == {case.name: [back]}
    assert sums(at, "o-1") == (1, 1, 0, [case.undone])
    assert events(at) == [("effect", "o-1", "k-1"), ("undo", "o-1", "k-1")]


@pytest.mark.parametrize("case", REVERSIBLE, ids=str)
def test_a_request_that_comes_after_the_undo_is_no_success(serving: Serving, case: Case) -> None:
    """Its key is used up: 409 with the state. A new key makes a new effect."""
    at = serving(case)
    take_back(at, case, done(at, case, "o-1", "k-1")["id"])
    late = perform(at, case, "o-1", "k-1")
    assert (late.status_code, late.json()["parameter"]) == (409, "Idempotency-Key")
    assert case.undone in late.json()["error"]
    done(at, case, "o-1", "k-2")
    assert sums(at, "o-1") == (2, 1, 1, [case.undone, case.done])
    assert events(at)[2] == ("refusal", "o-1", "k-1")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_key_that_is_cancelled_first_never_has_an_effect(serving: Serving, case: Case) -> None:
    """The tombstone stands in the ledger once; the late request gets 409; there is still nothing to be found."""
    at = serving(case)
    for _ in range(2):
        cancelled = under(at, case, "k-1", "DELETE")
        assert (cancelled.status_code, cancelled.json()) == (200, {"key": "k-1", "state": "cancelled"})
    late = perform(at, case, "o-1", "k-1")
    assert (late.status_code, late.json()["parameter"]) == (409, "Idempotency-Key")
    assert under(at, case, "k-1").status_code == 404
    assert sums(at, "o-1") == (0, 0, 0, [])
    assert events(at) == [("tombstone", None, "k-1"), ("refusal", "o-1", "k-1")]
    truth = at.truth()
    assert [truth[name] for name in ("effects", "undone", "net", "tombstones", "replays", "refusals")] == [
        *(0, 0, 0, 1, 0, 1)
    ]


@pytest.mark.parametrize("case", FINAL, ids=str)
def test_what_is_final_is_not_taken_back(serving: Serving, case: Case) -> None:
    """409 with its state, and it stays."""
    at = serving(case)
    first = done(at, case, "o-1", "k-1")
    refused = under(at, case, "k-1", "DELETE")
    assert refused.status_code == 409
    assert f"{first['id']} is {case.done}" in refused.json()["error"]
    assert under(at, case, "k-1").json() == first
    assert perform(at, case, "o-1", "k-1").json() == first
    assert events(at) == [("effect", "o-1", "k-1"), ("refusal", "o-1", "k-1"), ("replay", "o-1", "k-1")]
    assert ask(at, "DELETE", f"{case.path}/{first['id']}").status_code == 405


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_refusal_is_not_remembered(serving: Serving, case: Case) -> None:
    """It had no effect, so its key is as good as new, for another body as well."""
    at = serving(case)
    changes, status = case.refused
    for _ in range(2):
        assert perform(at, case, "o-1", "k-1", **changes).status_code == status
    assert under(at, case, "k-1").status_code == 404
    assert done(at, case, "o-1", "k-1")["state"] == case.done
    assert sums(at, "o-1") == (1, 0, 1, [case.done])


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    ("raw", "status", "parameter"),
    [
        (b"{", 400, None),
        (b"", 400, None),
        (b'{"order": "\xff"}', 400, None),
        (b"[]", 422, None),
        (b'{"order": 7}', 422, "order"),
        (b'{"order": ""}', 422, "order"),
        (b'{"order": "a b"}', 422, "order"),
        (b'{"order": "o-1", "colour": "red"}', 422, "colour"),
    ],
)
def test_a_wrong_body_is_refused_by_name(
    serving: Serving, case: Case, raw: bytes, status: int, parameter: str | None
) -> None:
    """And is nothing that the ledger would have to know."""
    at = serving(case)
    refused = at.session.post(at.url + case.path, data=raw, timeout=10)
    assert (refused.status_code, refused.json()["parameter"]) == (status, parameter)
    assert events(at) == []


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_missing_field_is_named(serving: Serving, case: Case) -> None:
    """Each of them is needed."""
    at = serving(case)
    whole = {"order": "o-1", **case.body}
    for name in whole:
        refused = ask(at, "POST", case.path, json={field: value for field, value in whole.items() if field != name})
        assert (refused.status_code, refused.json()["parameter"]) == (422, name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_wrong_key_is_refused(serving: Serving, case: Case) -> None:
    """In the header and in the path, before anything happens under it."""
    at = serving(case)
    for key in ("", "k" * 256, "a b"):
        refused = perform(at, case, "o-1", key)
        assert (refused.status_code, refused.json()["parameter"]) == (400, "Idempotency-Key")
    for method in ("GET", "DELETE"):
        refused = under(at, case, "k" * 256, method)
        assert (refused.status_code, refused.json()["parameter"]) == (400, "key")
    assert events(at) == []
    done(at, case, "o-1", "k" * 255)
    assert under(at, case, "k" * 255).status_code == 200


@pytest.mark.parametrize("case", CASES, ids=str)
def test_keys_can_be_switched_off(serving: Serving, case: Case) -> None:
    """Then each request is an effect of its own, nothing is under a key, and look-ups by order are all there is."""
    at = serving(case)
    done(at, case, "o-0", "k-0")
    at.switch(honours_keys=False).raise_for_status()
    found = [done(at, case, "o-1", "k-1"), done(at, case, "o-1", "k-1"), done(at, case, "o-1", "not a key")]
    assert [each["key"] for each in found] == [None] * 3
    assert ask(at, "GET", f"{case.path}?order=o-1").json() == {case.name: found}
    assert [under(at, case, key, method).status_code for key in ("k-0", "k-1") for method in ("GET", "DELETE")] == [
        404
    ] * 4
    at.switch(honours_keys=True).raise_for_status()
    assert under(at, case, "k-0").json()["state"] == case.done
    assert perform(at, case, "o-1", "k-1").headers.get("Idempotent-Replayed") is None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_reset_forgets_everything_but_the_numbers(serving: Serving, case: Case) -> None:
    """Effects, keys, tombstones and ledger are gone; an old name means no new effect."""
    at = serving(case)
    first = done(at, case, "o-1", "k-1")
    under(at, case, "k-2", "DELETE")
    at.reset()
    assert (events(at), at.truth()["orders"], at.truth()["effects"]) == ([], {}, 0)
    assert [done(at, case, "o-1", key)["id"] == first["id"] for key in ("k-1", "k-2")] == [False, False]


def test_collections_have_keys_of_their_own(serving: Serving) -> None:
    """One key may send a parcel and a notice; the truth counts each for itself as well as together."""
    at = serving(SHIPMENTS)
    assert done(at, SHIPMENTS, "o-1", "k-1")["id"].startswith("shipment-")
    assert done(at, NOTICES, "o-1", "k-1")["id"].startswith("notice-")
    of = at.truth()["orders"]["o-1"]
    assert (of["net"], of["collections"]) == (2, {"shipments": 1, "notices": 1})
