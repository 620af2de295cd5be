"""A fake gateway under hooks and operators: scripted answers, recorded requests, strictness, time."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import jwt
import pytest

from airgate.client.uploads import Multipart, OneShot
from airgate.errors import DeadlineExceeded, InvalidResponse, NotFound, OutcomeUnknown, RateLimited, Unavailable
from airgate.hooks import GatewayHook
from airgate.testing import (
    Answer,
    FakeGateway,
    UnexpectedRequest,
    cut,
    instant_time,
    json_answer,
    rate_limited,
    refused,
    timeout,
    unavailable,
)


def test_answers_come_in_turn_and_requests_are_recorded() -> None:
    """An object is JSON with 200; the record has what a service would have seen."""
    with FakeGateway() as gateway:
        route = gateway.on("POST", "/orders/{order}/lines", json_answer({"line": 1}, 201), {"line": 2})
        hook = GatewayHook()
        first = hook.call(
            "POST", "/orders/{o}/lines", path_params={"o": "a/b c"}, json={"sku": 5}, params={"x": [1, 2]}
        )
        assert (first.status, first.json()) == (201, {"line": 1})
        assert hook.call("POST", "/orders/7/lines", data="raw", headers={"X-Tenant": "north"}).json() == {"line": 2}
        one, two = gateway.calls
        assert route.requests == [one, two]
        assert (one.method, one.path, one.path_params) == ("POST", "/orders/a%2Fb%20c/lines", {"order": "a/b c"})
        assert (one.json(), one.params) == ({"sku": 5}, {"x": ["1", "2"]})
        assert (two.body, two.headers["x-tenant"], two.path_params) == (b"raw", "north", {"order": "7"})
        gateway.assert_all_used()


@pytest.mark.parametrize(
    ("answers", "method", "error", "sent"),
    [
        ([404], "GET", NotFound, 1),
        ([unavailable(), refused(), {}], "GET", None, 3),
        ([cut(), {}], "GET", None, 2),
        ([cut()], "POST", OutcomeUnknown, 1),
        ([timeout()], "POST", OutcomeUnknown, 1),
        ([refused(), rate_limited(2), {}], "POST", None, 3),
        ([503] * 5, "GET", Unavailable, 5),
        ([Answer(200, b"x" * 1001)], "GET", InvalidResponse, 1),
    ],
)
def test_the_policy_is_the_one_of_production(answers, method: str, error: type[Exception] | None, sent: int) -> None:
    """Retries, faults and typed errors follow from the answers as they do over the wire."""
    with FakeGateway(extra={"max_response_bytes": 1000}) as gateway:
        gateway.on(method, "/x", *answers)
        if error is None:
            assert GatewayHook().call(method, "/x").attempts == sent
        else:
            with pytest.raises(error):
                GatewayHook().call(method, "/x")
        assert len(gateway.calls) == sent
        gateway.assert_all_used()


def test_requests_are_signed_as_the_connection_says() -> None:
    """A service's check of the token can be tested, and a second token once the first is over."""
    secret = "a-secret-of-at-least-32-bytes-length"
    with FakeGateway(login="me", password=secret, extra={"auth": "jwt", "jwt_lifetime": 60}) as gateway:
        gateway.on("GET", "/x", {}, repeat=True)
        hook = GatewayHook()
        hook.call("GET", "/x")
        gateway.time.skip(120)
        hook.call("GET", "/x")
        tokens = [call.headers["authorization"].removeprefix("Bearer ") for call in gateway.calls]
        options = {"verify_exp": False, "verify_iat": False}
        first, second = (jwt.decode(token, secret, algorithms=["HS256"], options=options) for token in tokens)
        assert first["sub"] == "me"
        assert second["iat"] - first["iat"] in range(119, 125)
        assert tokens[0] not in repr(gateway.calls)


def test_waits_cost_nothing_and_are_written_down() -> None:
    """Both forms of Retry-After, on a clock that moves on by the waits."""
    began = time.monotonic()
    with FakeGateway(extra={"max_inline_wait": 600, "deadline": 0}) as gateway:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=400), usegmt=True)
        gateway.on("GET", "/x", rate_limited(300), rate_limited(date), {})
        response = GatewayHook().call("GET", "/x")
    assert response.waited == pytest.approx(sum(gateway.waits))
    by_seconds, by_date = gateway.waits
    assert 300 <= by_seconds <= 301
    # The date was 400 s ahead, of which 300 to 301 are over.
    assert 97 <= by_date <= 101
    assert time.monotonic() - began < 10


def test_a_slow_answer_takes_the_tests_time_only() -> None:
    """Timeouts and deadlines are reached without waiting for them."""
    with FakeGateway(extra={"read_timeout": 30, "deadline": 50}) as gateway:
        slow = json_answer({}, takes=20)
        gateway.on("GET", "/slow", slow)
        gateway.on("GET", "/stuck", json_answer({}, takes=31), json_answer({}, takes=31))
        assert GatewayHook().call("GET", "/slow").attempts == 1
        with pytest.raises(DeadlineExceeded):
            GatewayHook().call("GET", "/stuck")
        gateway.assert_all_used()


def test_a_long_wait_leaves_the_call_as_in_production() -> None:
    """Instant time does not turn a wait that gives the worker back into one that stays."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/x", rate_limited(60))
        with pytest.raises(RateLimited) as caught:
            GatewayHook().call("GET", "/x")
    assert caught.value.retry_after >= 60


def test_functions_answer_what_they_are_asked() -> None:
    """A script can be a small service; what it asserts fails the test."""
    orders: dict[str, int] = {}

    def put(request):
        orders[request.path_params["order"]] = request.json()["amount"]
        return 204

    with FakeGateway() as gateway:
        gateway.on("PUT", "/orders/{order}", put, repeat=True)
        gateway.on("GET", "/orders/{order}", lambda request: {"amount": orders[request.path_params["order"]]})
        GatewayHook().call("PUT", "/orders/7", json={"amount": 3})
        GatewayHook().call("PUT", "/orders/7", json={"amount": 4})
        assert GatewayHook().call("GET", "/orders/7").json() == {"amount": 4}


def test_params_tell_scripts_apart() -> None:
    """Pages of one path are scripted by their query."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/items", {"page": 2}, params={"page": 2})
        gateway.on("GET", "/items", {"page": 1})
        assert [GatewayHook().call("GET", "/items", params={"page": n}).json()["page"] for n in (1, 2)] == [1, 2]


def test_an_unexpected_request_fails_with_what_was_scripted() -> None:
    """The message shows both; also a request beyond the last answer is one."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/orders/{order}", {})
        gateway.on("GET", "/items", {}, params={"page": 1}, repeat=True)
        GatewayHook().call("GET", "/orders/7")
        with pytest.raises(UnexpectedRequest) as caught:
            GatewayHook().call("GET", "/orders/8?token=abcdef")
        with pytest.raises(UnexpectedRequest):
            gateway.assert_all_used()
    assert str(caught.value) == (
        "RecordedRequest('GET', 'https://gateway-default.test/orders/8?token=***', headers={}, body=b'') "
        "was not expected; scripted is:\n"
        "  GET /orders/{order}: 1 of 1 answers used\n"
        "  GET /items with params {'page': ['1']}: 0 of 1 or more answers used"
    ).replace("headers={}", f"headers={dict(gateway.calls[-1].headers)!r}")


def test_a_swallowed_unexpected_request_still_fails() -> None:
    """Task code that catches everything, and dag.test(), cannot hide it."""

    def careless() -> None:
        with FakeGateway(), contextlib.suppress(Exception):
            GatewayHook().call("GET", "/x")

    with pytest.raises(UnexpectedRequest, match="scripted is: nothing"):
        careless()


def test_unused_answers_are_named() -> None:
    """A call that was expected and did not come is a failure, too."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/a", {}, {})
        GatewayHook().call("GET", "/a")
        with pytest.raises(AssertionError, match=r"GET /a: 1 of 2 answers used"):
            gateway.assert_all_used()


@pytest.mark.parametrize(
    ("path", "answers", "message"), [("/x", [], "at least one answer"), ("/x?a=1", [{}], "matched by params")]
)
def test_a_wrong_script_is_named(path: str, answers: list, message: str) -> None:
    """The error says which script and what to do."""
    with pytest.raises(ValueError, match=message):
        FakeGateway().on("GET", path, *answers)


def test_an_answer_of_the_wrong_kind_is_named() -> None:
    """A text could be a body or a mistake: it is asked for by name."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/x", "plain")
        with pytest.raises(TypeError, match="GET /x cannot be answered with str"):
            GatewayHook().call("GET", "/x")


def test_afterwards_everything_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connection, clock and wire come back, also when the test fails; several fakes share one time."""
    from airgate.client import clock

    monkeypatch.setenv("AIRFLOW_CONN_ORDERS", "before")
    system = clock.current()

    def careless() -> None:
        with FakeGateway("orders") as orders, FakeGateway("billing") as billing:
            assert orders.time is billing.time
            orders.on("GET", "/x", {"from": "orders"})
            billing.on("GET", "/x", {"from": "billing"})
            assert GatewayHook("billing").call("GET", "/x").json() == {"from": "billing"}
            assert GatewayHook("orders").call("GET", "/x").json() == {"from": "orders"}
            raise KeyError

    with pytest.raises(KeyError):
        careless()
    assert os.environ["AIRFLOW_CONN_ORDERS"] == "before"
    assert "AIRFLOW_CONN_BILLING" not in os.environ
    assert clock.current() is system


def test_a_test_does_not_know_the_tokens_of_another() -> None:
    """Each fetches its own, and both are recorded."""
    for number in range(2):
        extra = {"auth": "oauth2", "oauth_url": "/token"}
        with FakeGateway("oauth", login="id", password="hunter2-hunter2", extra=extra) as gateway:
            gateway.on("POST", "/token", {"access_token": f"token-{number}", "expires_in": 3600})
            gateway.on("GET", "/x", {"ok": 1})
            GatewayHook("oauth").call("GET", "/x")
            assert gateway.calls[-1].headers["Authorization"] == f"Bearer token-{number}"
            gateway.assert_all_used()


def test_a_second_fake_in_a_test_takes_nothing_away() -> None:
    """The token of the first is still good when the second comes and when it goes."""
    extra = {"auth": "oauth2", "oauth_url": "/token"}
    with FakeGateway("oauth", login="id", password="hunter2-hunter2", extra=extra) as gateway:
        gateway.on("POST", "/token", {"access_token": "token", "expires_in": 3600})
        gateway.on("GET", "/x", {"ok": 1}, repeat=True)
        GatewayHook("oauth").call("GET", "/x")
        with FakeGateway("other") as other:
            other.on("GET", "/y", {"ok": 1})
            GatewayHook("other").call("GET", "/y")
        GatewayHook("oauth").call("GET", "/x")
        assert [call.path for call in gateway.calls].count("/token") == 1


def test_a_test_does_not_know_the_retries_of_another() -> None:
    """The budget that the calls of a process share is full again."""
    for _ in range(15):
        with FakeGateway() as gateway:
            gateway.on("GET", "/x", refused(), refused(), {"ok": 1})
            assert GatewayHook().call("GET", "/x").attempts == 3


def test_a_test_does_not_know_the_pace_of_another() -> None:
    """A service that asked for ten minutes of patience is another one now."""
    slow = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "600"}
    for _ in range(2):
        with FakeGateway() as gateway:
            gateway.on("GET", "/x", json_answer({}, headers=slow))
            GatewayHook().call("GET", "/x")
            assert gateway.waits == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"headers": {"X-Name": "a\r\nEvil: 1"}}, "InvalidHeader, 'X-Name'"),
        ({"headers": {"X-Name": "Jürgen"}}, "InvalidHeader, 'X-Name'"),
        ({"path": "/a b"}, "InvalidURL, characters must be percent-encoded"),
    ],
)
def test_what_the_wire_refuses_is_refused(arguments: dict, message: str) -> None:
    """A test that passes would be followed by a task that fails; nothing counts as asked."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/{x}", {"ok": 1})
        with pytest.raises(ValueError, match=message):
            GatewayHook().call(**{"method": "GET", "path": "/x", **arguments})
        assert gateway.calls == []


def test_content_codings_are_removed() -> None:
    """And a damaged or unknown one is what it is over the wire."""
    coded = {"Content-Encoding": "gzip"}
    with FakeGateway(extra={"attempts": 1, "max_response_bytes": 1000}) as gateway:
        gateway.on("GET", "/good", Answer(200, gzip.compress(b"hello"), coded))
        gateway.on("GET", "/bad", Answer(200, b"hello", coded))
        gateway.on("GET", "/unknown", Answer(200, b"hello", {"Content-Encoding": "br"}))
        gateway.on("GET", "/bomb", Answer(200, gzip.compress(bytes(2000)), coded))
        hook = GatewayHook()
        assert hook.call("GET", "/good").bytes == b"hello"
        for path, error in {"/bad": OutcomeUnknown, "/unknown": InvalidResponse, "/bomb": InvalidResponse}.items():
            with pytest.raises(error):
                hook.call("GET", path)


@pytest.mark.parametrize(("seconds", "header"), [(1500000, "1500000"), (3600.0, "3600"), (0, "0"), ("soon", "soon")])
def test_a_wait_is_said_in_whole_seconds(seconds: float | str, header: str) -> None:
    """As the header has it: another form would be passed over by who reads it."""
    assert rate_limited(seconds).headers["Retry-After"] == header


@pytest.mark.parametrize("seconds", [1.5, -1])
def test_a_wait_that_the_header_cannot_say_is_refused(seconds: float) -> None:
    """RFC 9110 has whole seconds only."""
    with pytest.raises(ValueError, match=f"whole seconds, not {seconds}"):
        rate_limited(seconds)


def test_instant_time_works_over_the_wire(server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts at a real server are skipped as well."""
    from tests.scripted_server import Answer as Wire

    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", f'{{"conn_type": "gateway", "host": "{server.url}"}}')
    server.answers = [Wire(429, headers={"Retry-After": "9"}), Wire()]
    began = time.monotonic()
    with instant_time() as instant:
        assert GatewayHook().call("GET", "/x").attempts == 2
        assert instant.now() - time.time() >= 9
    assert [9 <= wait <= 10 for wait in instant.waits] == [True]
    assert time.monotonic() - began < 8


def test_a_poking_sensor_does_not_sleep() -> None:
    """Airflow's sensors wait between pokes on the same clock, and their timeout comes."""
    from airflow.sdk import BaseSensorOperator
    from airflow.sdk.exceptions import AirflowSensorTimeout

    class Never(BaseSensorOperator):
        def poke(self, context):
            return False

    began = time.monotonic()
    context = {"ti": SimpleNamespace(try_number=1, start_date=datetime.now(UTC), max_tries=0)}
    with instant_time() as instant, pytest.raises(AirflowSensorTimeout):
        Never(task_id="n", poke_interval=60, timeout=300).execute(context)
    assert instant.waits == [60] * 5
    assert time.monotonic() - began < 10


def test_a_gateway_sensor_polls_without_sleeping(tmp_path) -> None:
    """Each poll is a scripted request; the answer that fits is the result."""
    from airgate.sensors import GatewaySensor
    from tests.state_store import FileStore

    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, max_tries=0, start_date=datetime.now(UTC)
    )
    context = {"ti": ti, "task_state_store": FileStore(tmp_path / "state.json")}
    with FakeGateway() as gateway:
        gateway.on("GET", "/jobs/7", {"state": "running"}, {"state": "running"}, {"state": "done"})
        sensor = GatewaySensor(task_id="t", path="/jobs/7", predicate="state == 'done'", poke_interval=60)
        assert sensor.execute(context) is True
        gateway.assert_all_used()
    assert sum(gateway.waits) == pytest.approx(120)


def test_uploads_are_recorded_as_they_would_be_sent() -> None:
    """Each attempt has the whole form; a stream that can be read once survives a refused connection."""
    with FakeGateway() as gateway:
        gateway.on("POST", "/files", cut(), 201)
        gateway.on("PUT", "/log", refused(), 204)
        form = Multipart({"kind": "report"}, {"file": b"a,b"}, names={"file": "report.csv"})
        GatewayHook().call("POST", "/files", data=form, idempotency_key="k")
        GatewayHook().call("PUT", "/log", data=OneShot([b"one ", b"two"], name="log"))
    first, second, refusal, log = gateway.calls
    assert first.body == second.body
    assert b'name="file"; filename="report.csv"' in first.body
    assert (refusal.body, log.body) == (b"", b"one two")
    assert first.headers["content-type"] == form.content_type


def test_a_streamed_answer_comes_in_pieces() -> None:
    """Code that reads a large answer piece by piece is tested as it is."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/dump", Answer(200, b"abc"))
        with GatewayHook().call("GET", "/dump", stream=True) as response:
            assert b"".join(response.iter_bytes()) == b"abc"


def test_the_async_driver_is_answered_as_well() -> None:
    """What a trigger polls can be scripted, too."""
    import asyncio

    from airgate.client.async_session import AsyncGatewaySession
    from airgate.client.message import Request

    async def call(gateway: FakeGateway):
        session = AsyncGatewaySession(GatewayHook().gateway)
        try:
            return await session.call(Request("GET", f"{gateway.base_url}/job"))
        finally:
            await session.close()

    with FakeGateway() as gateway:
        gateway.on("GET", "/job", rate_limited(5), {"state": "done"})
        response = asyncio.run(call(gateway))
    assert (response.json(), response.attempts) == ({"state": "done"}, 2)
    assert 5 <= gateway.waits[0] <= 6


def test_nothing_of_airflow_is_imported() -> None:
    """The fake starts as fast as the test does."""
    code = "import sys, airgate.testing; assert 'airflow' not in sys.modules and 'requests' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
