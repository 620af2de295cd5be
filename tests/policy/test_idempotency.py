"""Idempotency keys."""

from __future__ import annotations

import pytest

from airgate.policy.idempotency import Fingerprint, digest, idempotency_key, json_digest, use_of_key

TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "call": "charge"}


def test_a_key_is_the_same_in_every_try_and_another_for_any_other_work() -> None:
    """The key depends on each part of the work's name and on nothing else."""
    key = idempotency_key(**TASK)
    assert key == idempotency_key(**TASK)
    changed = [
        idempotency_key(**{**TASK, name: value})
        for name, value in [("dag_id", "e"), ("run_id", "s"), ("task_id", "u"), ("map_index", 0), ("call", "refund")]
    ]
    changed += [idempotency_key(**TASK, epoch="2"), idempotency_key(**TASK, generation=1)]
    assert len({key, *changed}) == 1 + len(changed)


def test_parts_do_not_run_together() -> None:
    """Moving a character from one part to the next makes another digest."""
    assert digest(("ab", "c")) != digest(("a", "bc"))


@pytest.mark.parametrize(
    ("method", "given", "setting", "use"),
    [
        ("GET", None, "honoured", "off"),
        ("HEAD", None, "sent", "off"),
        ("GET", "k", "off", "honoured"),
        ("POST", None, "sent", "sent"),
        ("POST", None, "honoured", "honoured"),
        ("POST", None, "off", "off"),
        ("DELETE", None, "sent", "sent"),
        ("POST", True, "off", "honoured"),
        ("POST", "k", "sent", "honoured"),
        ("POST", "", "sent", "honoured"),
        ("POST", False, "honoured", "off"),
    ],
)
def test_the_call_has_the_last_word_on_its_key(method: str, given: str | bool | None, setting: str, use: str) -> None:
    """What the call says goes before the connection, and what has no effect needs no key."""
    assert use_of_key(method, given, setting) == use


def test_a_fingerprint_names_what_differs() -> None:
    """The message says what changed and shows no secret."""
    first = Fingerprint.of("POST", "http://gw/a?token=one", "b")
    assert first.differences(Fingerprint.of("POST", "https://other/a?token=one", "b")) == []
    assert first.differences(Fingerprint.of("POST", "http://gw/a?token=two", "b")) == ["the query is another one"]
    assert first.differences(Fingerprint.of("PUT", "http://gw/c", "d")) == [
        "the method was POST and is PUT",
        "the path was /a?token=*** and is /c",
        "the body is another one",
    ]
    assert Fingerprint.from_json(first.to_json()) == first
    assert "one" not in str(first.to_json())


def test_the_order_of_names_makes_no_other_body() -> None:
    """A dict that was built in another order is the same request."""
    assert json_digest({"a": 1, "b": [1, 2]}) == json_digest({"b": [1, 2], "a": 1})
    assert json_digest({"a": [1, 2]}) != json_digest({"a": [2, 1]})
