"""The typed errors."""

from __future__ import annotations

import pickle

import pytest

import airgate.errors as public
from airgate.policy import errors
from airgate.policy.errors import GatewayError, RateLimited, error_for_status


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "Rejected"),
        (401, "Unauthorized"),
        (403, "Unauthorized"),
        (404, "NotFound"),
        (405, "Rejected"),
        (408, "Unavailable"),
        (409, "Conflict"),
        (410, "NotFound"),
        (422, "Unprocessable"),
        (425, "Unavailable"),
        (429, "RateLimited"),
        (500, "Unavailable"),
        (503, "Unavailable"),
        (301, "InvalidResponse"),
    ],
)
def test_each_status_has_its_error(status: int, name: str) -> None:
    """A status maps to one class of the tree."""
    assert error_for_status(status).__name__ == name


def test_the_message_tells_the_person_on_call_everything() -> None:
    """Call, answer, attempts, request id and wait stand in one line."""
    error = RateLimited(
        "answered 429 Too Many Requests",
        method="GET",
        url="http://gw/x",
        status=429,
        attempts=5,
        request_id="r-1",
        retry_after=30,
        excerpt="slow down",
    )
    assert str(error) == (
        "GET http://gw/x: answered 429 Too Many Requests, after 5 attempts, request id r-1, retry after 30 s; "
        "the answer began: slow down"
    )
    assert error.retryable


def test_the_public_module_offers_the_whole_tree() -> None:
    """Nothing that can be raised is missing from airgate.errors, and each has a place in the drawing."""
    tree = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, GatewayError)}
    assert set(public.__all__) == tree
    assert all(name in (errors.__doc__ or "") for name in tree)


def test_an_error_survives_a_process_boundary() -> None:
    """Pickling keeps what a retry policy needs."""
    again = pickle.loads(pickle.dumps(RateLimited("x", status=429, retry_after=3.0)))
    assert (type(again), again.retry_after, again.retryable, str(again)) == (
        RateLimited,
        3.0,
        True,
        "x, retry after 3 s",
    )
