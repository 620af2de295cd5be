"""Ids, keys and preferences of runs that clients start."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airgate.policy.ingress_claims import NoCaller, dags_of, identity_of
from airgate.policy.ingress_prefer import wait_of
from airgate.policy.ingress_run import PREFIX, RESERVED, Identity, RunOrigin, is_run_id, key_of, run_id_of

ADA, BOB = Identity("airflow", "ada"), Identity("airflow", "bob")


def test_an_id_fits_airflows_usual_pattern_and_stands_for_dag_caller_and_key() -> None:
    run_id = run_id_of("d", ADA, "k")
    assert re.fullmatch("[A-Za-z0-9_.~:+-]+", run_id)
    assert re.fullmatch("in__[0-9a-f]{32}", run_id)
    assert is_run_id(run_id)
    assert run_id == run_id_of("d", ADA, "k")
    others = {run_id_of("e", ADA, "k"), run_id_of("d", BOB, "k"), run_id_of("d", ADA, "l")}
    assert len({run_id, *others}) == 4


def test_the_ids_of_a_caller_begin_alike() -> None:
    assert all(run_id_of(dag, ADA, key).startswith(ADA.prefix) for dag in "de" for key in ("k", None))
    assert not run_id_of("d", BOB, "k").startswith(ADA.prefix)
    assert ADA.prefix.startswith(PREFIX)


def test_parts_of_a_name_do_not_run_together() -> None:
    assert Identity("a", "bc").prefix != Identity("ab", "c").prefix


def test_without_a_key_each_request_is_another_run() -> None:
    assert run_id_of("d", ADA, None) != run_id_of("d", ADA, None)


def test_an_origin_is_read_as_it_was_written() -> None:
    origin = RunOrigin.of(ADA, {"a": 1, "b": [2]})
    assert RunOrigin.read({RESERVED: origin.to_json()}) == origin == RunOrigin.of(ADA, {"b": [2], "a": 1})
    assert origin != RunOrigin.of(ADA, {"a": 2, "b": [2]})


@pytest.mark.parametrize("conf", [None, {}, [], {RESERVED: 1}, {RESERVED: {}}, {RESERVED: {"version": 1, "issuer": 1}}])
def test_what_nobody_here_wrote_is_no_origin(conf: Any) -> None:
    assert RunOrigin.read(conf) is None


@pytest.mark.parametrize(
    ("header", "key"),
    [(None, None), ("k", "k"), (' "k" ', "k"), ("a b", "a b"), ('"', '"'), ("x" * 255, "x" * 255)],
)
def test_a_key_is_read_with_or_without_quotes(header: str | None, key: str | None) -> None:
    assert key_of(header) == key


@pytest.mark.parametrize("header", ["", '""', " ", "x" * 256, "ä", "a\tb", '" a"'])
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="Idempotency-Key must have 1 to 255 visible ASCII characters"):
        key_of(header)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=5", 5),
        ("wait = 5", 5),
        ('wait="5"', 5),
        ("respond-async, Wait=100", 25),
        ('handling="a, wait=3", wait=4', 4),
        ("wait=7; x=1", 7),
        ("wait=2, wait=9", 2),
        ("wait", None),
        ("wait=0", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=9999999999", None),
        ("waiting=5", None),
    ],
)
def test_a_wait_is_as_long_as_preferred_up_to_a_bound(header: str | None, seconds: int | None) -> None:
    assert wait_of(header, 25) == seconds


def test_no_wait_at_all_may_be_set() -> None:
    assert wait_of("wait=5", 0) is None


@pytest.mark.parametrize(
    ("listed", "dags"),
    [(["a", 1, "b"], {"a", "b"}), ("a  b", {"a", "b"}), (None, set()), ({"a": 1}, set()), ("", set()), (True, set())],
)
def test_a_claim_lists_dags(listed: Any, dags: set[str]) -> None:
    assert dags_of({"claim": listed}, "claim") == dags


@pytest.mark.parametrize("claims", [{}, {"iss": "i"}, {"iss": "i", "sub": 1}, {"iss": "i", "sub": "a\x00"}])
def test_a_token_without_a_usable_subject_speaks_for_nobody(claims: dict[str, Any]) -> None:
    with pytest.raises(NoCaller):
        identity_of(claims)
