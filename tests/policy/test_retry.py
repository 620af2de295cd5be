"""The retry decision, as a table."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.outcome import Answered, NotSent, Outcome, Unanswered
from airgate.policy.retry import Again, Decision, Done, GiveUp, Later, RetrySettings, decide, retry_after

NOW = 1_700_000_000.0
SETTINGS = RetrySettings(attempts=3, backoff=1, backoff_cap=4, deadline=100, max_inline_wait=10)


def decision(outcome: Outcome, *, method: str = "GET", keyed: bool = False, attempt: int = 1, **kwargs) -> Decision:
    values = {"remaining": 100.0, "jitter": 0.5, **kwargs}
    return decide(SETTINGS, method=method, keyed=keyed, outcome=outcome, attempt=attempt, now=NOW, **values)


FINAL = [200, 201, 204, 301, 304, 400, 401, 403, 404, 405, 409, 410, 422, 501, 505]
TRANSIENT = [408, 425, 429, 500, 502, 503, 504]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", FINAL)
def test_final_answers_are_final(status: int, method: str) -> None:
    """A success, a refusal and a redirect are never repeated, whatever the method."""
    assert decision(Answered(status), method=method) == Done()


@pytest.mark.parametrize(
    ("method", "keyed", "repeats"),
    [
        ("GET", False, True),
        ("HEAD", False, True),
        ("OPTIONS", False, True),
        ("PUT", False, True),
        ("DELETE", False, True),
        ("POST", False, False),
        ("PATCH", False, False),
        ("POST", True, True),
        ("PATCH", True, True),
    ],
)
@pytest.mark.parametrize("outcome", [Unanswered("cut"), *(Answered(s) for s in TRANSIENT if s not in {425, 429})])
def test_a_write_is_repeated_only_when_that_cannot_repeat_its_effect(
    outcome: Outcome, method: str, keyed: bool, repeats: bool
) -> None:
    """After an outcome that leaves the effect open, only idempotent methods and keyed writes go again."""
    expected = Again(0.5) if repeats else GiveUp(retryable=False)
    assert decision(outcome, method=method, keyed=keyed) == expected


@pytest.mark.parametrize("outcome", [NotSent("refused"), Answered(429), Answered(425)])
def test_an_unkeyed_write_that_was_not_taken_up_is_repeated(outcome: Outcome) -> None:
    """A request that never left, or that the server refused to take up, has had no effect."""
    assert decision(outcome, method="POST") == Again(0.5)


def test_a_token_endpoint_is_waited_for_as_it_asks() -> None:
    """It refused the token, so the request never left; its wait counts as the gateway's own would."""
    asked = NotSent("authentication failed", retry_after=7)
    assert decision(asked, method="POST", jitter=0.0) == Again(7)
    assert decision(NotSent("authentication failed", retry_after=99), jitter=0.0) == Later(99)


@pytest.mark.parametrize(("attempt", "jitter", "delay"), [(1, 0.0, 0.0), (1, 1.0, 1.0), (2, 1.0, 2.0), (2, 0.25, 0.5)])
def test_waits_are_random_below_a_doubling_ceiling(attempt: int, jitter: float, delay: float) -> None:
    """Full jitter: anything from nothing to backoff * 2^(attempt - 1)."""
    assert decision(Answered(503), attempt=attempt, jitter=jitter) == Again(delay)


def test_the_ceiling_is_capped() -> None:
    """No random wait exceeds backoff_cap."""
    settings = RetrySettings(attempts=5000, backoff=1, backoff_cap=4)
    answer = decide(
        settings, method="GET", keyed=False, outcome=Answered(503), attempt=4000, remaining=None, now=NOW, jitter=1.0
    )
    assert answer == Again(4)


def test_the_last_attempt_gives_up_but_a_later_call_may_try() -> None:
    """Attempts are counted; what the server asked to wait is handed on."""
    outcome = Answered(503, {"retry-after": "7"})
    assert decision(outcome, attempt=3) == GiveUp(retryable=True, retry_after=7)


def test_retry_after_is_a_floor_with_jitter_on_top() -> None:
    """The server is never asked before it said, and callers told the same second do not return together."""
    assert decision(Answered(429, {"retry-after": "3"}), jitter=0.0) == Again(3)
    assert decision(Answered(429, {"retry-after": "3"}), jitter=1.0) == Again(4)


def test_a_long_wait_is_not_spent_inside_the_process() -> None:
    """A wait above max_inline_wait comes back as a signal."""
    assert decision(Answered(503, {"retry-after": "60"}), jitter=0.0) == Later(60)


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """There is no point in waiting for a moment that is out of bounds."""
    outcome = Answered(503, {"retry-after": "5"})
    assert decision(outcome, remaining=4.0) == GiveUp(retryable=True, retry_after=5, deadline_passed=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 400, 366 * 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 366 * 86_400.0),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood; anything else counts as absent."""
    assert retry_after({"retry-after": value}, NOW) == seconds


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.booleans(),
    st.sampled_from([NotSent("x"), Unanswered("x"), *(Answered(s) for s in FINAL + TRANSIENT)]),
    st.integers(1, 5),
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 100)),
)
def test_no_wait_breaks_a_limit(
    method: str, keyed: bool, outcome: Outcome, attempt: int, jitter: float, remaining: float | None
) -> None:
    """Whatever happens, a wait is neither longer than allowed inline nor reaches the deadline, and attempts end."""
    answer = decision(outcome, method=method, keyed=keyed, attempt=attempt, jitter=jitter, remaining=remaining)
    if isinstance(answer, Again):
        assert 0 <= answer.delay <= SETTINGS.max_inline_wait
        assert remaining is None or answer.delay < remaining
        assert attempt < SETTINGS.attempts


@pytest.mark.parametrize(("name", "value"), [("attempts", 0), ("backoff", -1), ("backoff_cap", -1), ("deadline", -0.1)])
def test_wrong_settings_are_refused_by_name(name: str, value: float) -> None:
    """A setting that makes no sense names itself."""
    with pytest.raises(ValueError, match=name):
        RetrySettings(**{name: value})
