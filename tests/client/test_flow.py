"""The course of a call, driven without sockets and without waiting."""

from __future__ import annotations

import dataclasses
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.client.auth import BearerAuth
from airgate.client.effects import Event
from airgate.client.flow import Shared
from airgate.client.message import Request, Response
from airgate.policy.budget import RetryBudget
from airgate.policy.errors import (
    Conflict,
    DeadlineExceeded,
    GatewayError,
    InvalidResponse,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from airgate.policy.outcome import NotSent, Unanswered, Unusable
from airgate.policy.pacing import Pace
from tests.client.course import GATEWAY, GET, KEYED, POST, Course, answer


def test_a_success_comes_back_signed_and_counted() -> None:
    """One request with the gateway's signature, one answer."""
    course = Course(GET, [answer(body=b"[1]")])
    assert course.response is not None
    assert (course.response.json(), course.response.attempts, course.response.faults) == ([1], 1, ())
    assert course.sent[0].request.headers["Authorization"] == "Bearer s3cr3t-token"


def test_faults_on_the_way_are_survived_and_told() -> None:
    """The response knows how many requests it took, how long was waited and why."""
    course = Course(GET, [answer(503), Unanswered("the answer broke off"), answer()])
    assert course.response is not None
    assert course.waits == [1.0, 2.0]
    assert (course.response.attempts, course.response.waited) == (3, 3.0)
    assert course.response.faults == ("503 Service Unavailable", "the answer broke off")


@pytest.mark.parametrize(
    ("request_", "events", "kind", "retryable"),
    [
        (GET, [answer(404)], NotFound, False),
        (GET, [answer(409)], Conflict, False),
        (GET, [answer(302, location="http://elsewhere.test/")], InvalidResponse, False),
        (GET, [answer(503)] * 3, Unavailable, True),
        (GET, [answer(429, retry_after="0")] * 3, RateLimited, True),
        (GET, [NotSent("connection refused")] * 3, Unavailable, True),
        (GET, [Unanswered("cut")] * 3, OutcomeUnknown, True),
        (POST, [Unanswered("cut")], OutcomeUnknown, False),
        (POST, [answer(500)], Unavailable, False),
        (POST, [NotSent("refused")] * 3, Unavailable, True),
        (KEYED, [Unanswered("cut")] * 3, OutcomeUnknown, True),
        (KEYED, [answer(500)] * 3, Unavailable, True),
    ],
)
def test_what_cannot_be_had_is_a_typed_error(
    request_: Request, events: list[Event], kind: type[GatewayError], retryable: bool
) -> None:
    """Each end of a call has its class, and says whether an Airflow retry may repeat it."""
    course = Course(request_, events)
    assert type(course.error) is kind
    assert course.error.retryable is retryable
    assert course.error.attempts == len(events) == len(course.sent)


def test_an_unkeyed_write_is_sent_once() -> None:
    """A POST that may have arrived is not repeated, although attempts are left."""
    assert len(Course(POST, [Unanswered("cut"), answer()]).sent) == 1


def test_a_long_wait_leaves_with_its_length() -> None:
    """A Retry-After above max_inline_wait is not slept off: the error carries it to Airflow."""
    course = Course(GET, [answer(503, retry_after="60")])
    assert isinstance(course.error, Unavailable)
    assert course.waits == []
    assert course.error.retry_after == 61.0
    assert course.error.retryable


def test_the_deadline_spans_all_attempts() -> None:
    """Each attempt gets what is left of the total, and nothing starts when nothing is left."""
    course = Course(GET, [Unanswered("slow")] * 3, takes=9.0)
    assert [round(send.timeout or 0) for send in course.sent] == [20, 10]
    assert isinstance(course.error, DeadlineExceeded)
    assert not course.error.retryable


def test_a_given_deadline_takes_the_place_of_the_setting() -> None:
    """A deadline in the past sends nothing."""
    course = Course(GET, [], deadline=999_999.0)
    assert isinstance(course.error, DeadlineExceeded)
    assert course.sent == []


def test_expected_statuses_replace_the_usual_ones() -> None:
    """A 404 can be an answer, and a 200 can be wrong."""
    assert Course(GET, [answer(404)], expect={200, 404}).response is not None
    error = Course(GET, [answer(200)], expect={202}).error
    assert isinstance(error, InvalidResponse)
    assert "expected 202" in str(error)


def test_no_secret_reaches_an_error_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The URL's token, the bearer token and an echo of it in the answer are masked in every message."""
    with caplog.at_level(logging.DEBUG):
        course = Course(GET, [answer(503), answer(400, body=b'{"you sent": "s3cr3t-token"}')])
    shown = f"{course.error} {caplog.text}"
    assert "token=***" in shown
    assert "you sent" in shown
    assert "s3cr3t-token" not in shown
    assert "abc" not in shown


def test_a_request_id_is_found_whoever_gave_it() -> None:
    """The person on call can look the request up in the gateway's log."""
    error = Course(GET, [answer(400, x_request_id="r-7")]).error
    assert error is not None
    assert "request id r-7" in str(error)


class RenewableToken(BearerAuth):
    """A token that can be had anew once it was refused."""

    def __init__(self) -> None:
        super().__init__("old-token")

    def renew(self, request: Request) -> bool:
        helps = request.headers["Authorization"] == "Bearer old-token"
        self.secrets = ("new-token",)
        return helps


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_refused_token_is_renewed_once(request_: Request) -> None:
    """401 comes before any effect: the call goes again at once with a fresh token, a write without a key as well."""
    gateway = dataclasses.replace(GATEWAY, auth=RenewableToken())
    course = Course(request_, [answer(401), answer()], gateway=gateway)
    assert [send.request.headers["Authorization"] for send in course.sent] == ["Bearer old-token", "Bearer new-token"]
    assert course.response is not None
    assert (course.response.attempts, course.waits) == (2, [])
    refused = Course(request_, [answer(401), answer(401)], gateway=dataclasses.replace(GATEWAY, auth=RenewableToken()))
    assert isinstance(refused.error, Unauthorized)


def test_a_limit_that_is_used_up_holds_the_next_call_back() -> None:
    """An answer says that nothing is left for four seconds: the next call waits them instead of meeting a 429."""
    shared = Shared.of(GATEWAY)
    Course(GET, [answer(ratelimit='"a";r=0;t=4')], shared=shared)
    second = Course(GET, [answer()], shared=shared)
    assert second.waits == [4.0]
    assert second.response is not None
    assert second.response.waited == 4.0


def test_a_long_hold_gives_the_slot_back() -> None:
    """A wait above max_inline_wait leaves as a retryable error, before anything is sent."""
    shared = Shared.of(GATEWAY)
    Course(GET, [answer(ratelimit='"a";r=0;t=15')], shared=shared)
    second = Course(POST, [], shared=shared)
    assert isinstance(second.error, RateLimited)
    assert (second.error.retryable, second.error.retry_after, second.sent) == (True, 15.0, [])


def test_a_hold_beyond_the_deadline_is_not_begun() -> None:
    """There is no time for it; a longer one is spent outside of the call, where another deadline counts."""
    hurried = dataclasses.replace(GATEWAY, retry=dataclasses.replace(GATEWAY.retry, deadline=5))
    for seconds, kind in [(8, DeadlineExceeded), (60, RateLimited)]:
        shared = Shared.of(hurried)
        Course(GET, [answer(ratelimit=f'"a";r=0;t={seconds}')], gateway=hurried, shared=shared)
        assert isinstance(Course(GET, [], gateway=hurried, shared=shared).error, kind)


@pytest.mark.parametrize("status", [*range(500, 512), 520, 522, 524, 527, 530, 599, 408, 200, 303])
def test_a_write_that_may_have_happened_is_never_retryable(status: int) -> None:
    """No key, and an answer that does not rule the effect out: neither this call nor Airflow's next try repeats it."""
    course = Course(POST, [answer(status)] * 3, expect={201})
    assert course.error is not None
    assert (len(course.sent), course.error.retryable, course.error.in_doubt) == (1, False, True)


@pytest.mark.parametrize(("status", "sent"), [(400, 1), (404, 1), (409, 1), (422, 1), (425, 3), (429, 3)])
def test_a_refusal_leaves_no_doubt(status: int, sent: int) -> None:
    """The service said that it did not take the write up."""
    course = Course(POST, [answer(status)] * 3)
    assert course.error is not None
    assert (len(course.sent), course.error.in_doubt) == (sent, False)


def test_a_doubt_stays_whatever_comes_after_it() -> None:
    """A refusal of the second attempt says nothing about the first."""
    course = Course(KEYED, [Unanswered("cut"), answer(403)])
    assert isinstance(course.error, Unauthorized)
    assert course.error.in_doubt


def test_a_conflict_with_its_own_earlier_attempt_is_waited_out() -> None:
    """Under a key, 409 is the service's word that it still works on the attempt before (IETF idempotency-key draft)."""
    assert Course(KEYED, [Unanswered("cut"), answer(409), answer(201)]).response is not None
    later = dataclasses.replace(KEYED, in_doubt=True)
    assert Course(later, [answer(409), answer(201)]).response is not None
    still = Course(later, [answer(409)] * 3).error
    assert isinstance(still, Conflict)
    assert (still.retryable, still.in_doubt) == (True, True)
    assert len(Course(KEYED, [answer(409)]).sent) == 1


@pytest.mark.parametrize("status", [401, 429, 503, 307])
def test_an_expected_status_is_a_success(status: int) -> None:
    """Whatever it means otherwise: it is not repeated, and no token is renewed for it."""
    course = Course(GET, [answer(status, location="/y")], expect={status}, gateway=RENEWABLE)
    assert course.response is not None
    assert len(course.sent) == 1


@pytest.mark.parametrize("location", ["http://[bad/", "http://gw.test:99999/", "http://gw.test:x/"])
def test_a_broken_redirect_is_an_invalid_response(location: str) -> None:
    """An address that cannot be read is not followed."""
    assert isinstance(Course(GET, [answer(302, location=location)]).error, InvalidResponse)


def test_a_spent_budget_stops_retries_but_not_calls() -> None:
    """Each call is still sent once; its error stays retryable, for Airflow's own, slower retries."""
    shared = Shared(Pace(), RetryBudget(0.2, reserve=1))
    assert len(Course(GET, [answer(503), answer()], shared=shared).sent) == 2
    course = Course(GET, [answer(503), answer()], shared=shared)
    assert len(course.sent) == 1
    assert isinstance(course.error, Unavailable)
    assert course.error.retryable


def test_an_answer_that_cannot_be_taken_in_is_final() -> None:
    """Asking again would bring it again."""
    error = Course(GET, [Unusable(200, "the answer has more than 5 bytes")]).error
    assert isinstance(error, InvalidResponse)
    assert (error.status, error.retryable, error.attempts) == (200, False, 1)


RENEWABLE = dataclasses.replace(GATEWAY, auth=RenewableToken())

CLIENT_EVENTS = st.one_of(
    st.sampled_from([200, 302, 400, 401, 408, 409, 425, 429, 500, 501, 503, 524]).map(answer),
    st.sampled_from([answer(429, retry_after="3"), answer(503, retry_after="99"), answer(307, location="/y")]),
    st.sampled_from([NotSent("refused"), Unanswered("cut"), Unusable(200, "too large")]),
)


@given(st.sampled_from([GET, POST, KEYED]), st.lists(CLIENT_EVENTS, min_size=12, max_size=12), st.floats(0.0, 9.0))
def test_no_course_of_events_breaks_a_promise(request_: Request, events: list[Event], takes: float) -> None:
    """Every call ends, within its attempts and its deadline, and an unkeyed write that may have arrived goes once."""
    course = Course(request_, events, takes=takes, gateway=dataclasses.replace(GATEWAY, auth=RenewableToken()))
    assert (course.response is None) != (course.error is None)
    # Three attempts; beyond them one renewal of the token, and redirects for reads.
    assert len(course.sent) <= 3 + 1 + (5 if request_.method == "GET" else 0)
    assert all(send.timeout is not None and 0 < send.timeout <= 20 for send in course.sent)
    assert course.now - 1_000_000 <= 20 + takes
    if request_ is POST:
        assert course.error is None or not (course.error.in_doubt and course.error.retryable)
        harmless = (NotSent, Response)
        for event in events[: len(course.sent) - 1]:
            assert isinstance(event, harmless)
            assert not isinstance(event, Response) or event.status in {401, 425, 429}
