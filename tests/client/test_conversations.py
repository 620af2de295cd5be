"""The same scripted conversations end the same way in both drivers."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from airgate.client.auth import BearerAuth
from airgate.client.uploads import FileBody, Multipart, OneShot, StreamBody
from airgate.policy.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidResponse,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
)
from airgate.policy.retry import RetrySettings
from tests.client.either_driver import FAST, KINDS, Driver
from tests.scripted_server import Answer, ScriptedServer

GOOD = Answer(body=b'{"a":1}')

CONVERSATIONS = {
    "good": [GOOD],
    "no content": [Answer(204, body=b"")],
    "chunked": [Answer(body=b'{"a":1}', chunked=True)],
    "storm, then good": [Answer(503), Answer(502), Answer(504), GOOD],
    "storm": [Answer(503)],
    "hang-ups": [Answer(hang_up=True), Answer(hang_up=True), GOOD],
    "half": [Answer(body=b"x" * 100, cut=True), GOOD],
    "half a chunk": [Answer(body=b"x" * 100, cut=True, chunked=True), GOOD],
    "not found": [Answer(404, body=b'{"detail":"no"}')],
    "conflict": [Answer(409)],
    "bad request": [Answer(400, headers={"X-Request-Id": "r-1"})],
    "unauthorized": [Answer(401)],
    "too many": [Answer(429, headers={"Retry-After": "0"}), GOOD],
    "too many for long": [Answer(429, headers={"Retry-After": "3600"})],
    "redirect": [Answer(302, headers={"Location": "/y?b=%2F"}), GOOD],
    "redirect away": [Answer(302, headers={"Location": "http://localhost:1/"})],
    "redirect in circles": [Answer(307, headers={"Location": "/x"})],
    "gzip": [Answer(body=gzip.compress(b'{"a":1}'), headers={"Content-Encoding": "gzip"})],
    "gzip of two members": [
        Answer(body=gzip.compress(b'{"a"') + gzip.compress(b":1}"), headers={"Content-Encoding": "gzip"})
    ],
    "deflate": [Answer(body=zlib.compress(b'{"a":1}'), headers={"Content-Encoding": "deflate"})],
    "raw deflate": [Answer(body=zlib.compress(b'{"a":1}')[2:-4], headers={"Content-Encoding": "deflate"})],
    "twice coded": [
        Answer(body=gzip.compress(zlib.compress(b'{"a":1}')), headers={"Content-Encoding": "deflate, gzip"})
    ],
    "gzip cut short": [Answer(body=gzip.compress(b'{"a":1}')[:-9], headers={"Content-Encoding": "gzip"}), GOOD],
    "no gzip": [Answer(body=b'{"a":1}', headers={"Content-Encoding": "gzip"}), GOOD],
    "unknown coding": [Answer(body=b"?", headers={"Content-Encoding": "snappy"})],
    "repeated headers": [Answer(headers={"X-Request-Id": "\xe9"})],
    "too large": [Answer(body=bytes(20_000))],
    "bomb": [Answer(body=gzip.compress(bytes(2**24)), headers={"Content-Encoding": "gzip"})],
}
REQUESTS = {
    "GET": {},
    "HEAD": {"method": "HEAD"},
    "POST": {"method": "POST", "body": b'{"n":1}', "headers": {"Content-Type": "application/json"}},
    "keyed POST": {"method": "POST", "body": b"{}", "keyed": True, "headers": {"Idempotency-Key": "k"}},
    "POST of nothing": {"method": "POST"},
    "DELETE": {"method": "DELETE"},
}


def outcome(kind: str, conversation: list[Answer], request: dict) -> object:
    """All that a caller and a server can see of a conversation."""
    server = ScriptedServer()
    try:
        server.answers = list(conversation)
        retry = RetrySettings(attempts=4, backoff=0.001, deadline=10, max_inline_wait=1)
        with Driver(kind).session(server.url, retry=retry, max_response_bytes=10_000, auth=BearerAuth("t")) as http:
            try:
                said = http.get("/x%2fy?q=%20a", **request)
                came = (said.status, said.bytes, said.attempts, said.faults, said.request_id)
                came += (
                    sorted((name, value) for name, value in said.headers.items() if name not in {"Date", "Server"}),
                )
            except GatewayError as error:
                came = (type(error).__name__, str(error).replace(server.url, ""), error.attempts, error.retryable)
                # To the second: what jitter adds is each driver's own.
                asked = None if error.retry_after is None else round(error.retry_after)
                came += (error.status, asked, error.request_id, error.excerpt)
        seen = [
            (
                one.method,
                one.path,
                one.query,
                one.body,
                {name: value for name, value in one.headers.items() if name != "host"},
            )
            for one in server.seen
        ]
        return came, seen, server.raw_targets
    finally:
        server.stop()


@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_both_drivers_agree(name: str, asked: str) -> None:
    """Status, body, headers, faults, errors and their words, and what the server saw byte for byte, are the same."""
    first, second = (outcome(kind, CONVERSATIONS[name], REQUESTS[asked]) for kind in KINDS)
    assert first == second


def test_a_401_is_answered_with_a_fresh_token(driver: Driver, server: ScriptedServer) -> None:
    """Once, and for an unkeyed write as well; the second refusal is final."""

    class Renewing(BearerAuth):
        turns = 0

        def renew(self, request) -> bool:
            Renewing.turns += 1
            return True

    server.answers = [Answer(401), GOOD]
    with driver.session(server.url, auth=Renewing("t")) as http:
        assert http.get(method="POST", body=b"{}").attempts == 2
        server.answers = [Answer(401)]
        with pytest.raises(GatewayError, match="401"):
            http.get()
    assert len(server.seen) == 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_heeded_in_both_forms(driver: Driver, server: ScriptedServer, form: str) -> None:
    """A wait that is too long for the slot leaves the call with the seconds that the server asked for."""
    import email.utils
    import time

    value = "30" if form == "seconds" else email.utils.formatdate(time.time() + 30, usegmt=True)
    server.answers = [Answer(429, headers={"Retry-After": value})]
    with (
        driver.session(server.url, retry=RetrySettings(max_inline_wait=1)) as http,
        pytest.raises(RateLimited) as caught,
    ):
        http.get()
    assert caught.value.retry_after == pytest.approx(30, abs=3)
    assert len(server.seen) == 1


@pytest.mark.parametrize("known", [True, False])
def test_an_upload_is_sent_again_from_its_beginning(
    driver: Driver, server: ScriptedServer, tmp_path: Path, known: bool
) -> None:
    """A retry opens the file anew; a length that is known is told, else the body goes in chunks."""
    path = tmp_path / "data.csv"
    content = bytes(range(256)) * 4000
    path.write_bytes(content)
    body = FileBody(path) if known else StreamBody(lambda: path.open("rb"))
    server.answers = [Answer(503), GOOD]
    with driver.session(server.url) as http:
        assert http.get(method="PUT", body=body, keyed=True).attempts == 2
    assert [seen.body for seen in server.seen] == [content, content]
    assert ("content-length" in server.seen[0].headers) is known


def test_a_form_arrives_as_python_reads_it(driver: Driver, server: ScriptedServer, tmp_path: Path) -> None:
    """Fields, files and their names, read back by the standard library's parser."""
    import email

    path = tmp_path / 'a "b".txt'
    path.write_bytes(b"from a file\r\n--x")
    form = Multipart({"note": "ü", "tag": ["1", "2"]}, {"doc": path, "raw": b"\0\1", "late": OneShot([b"a", b"b"], 2)})
    with driver.session(server.url) as http:
        http.get(method="POST", body=form, headers={"Content-Type": form.content_type or ""})
    seen = server.seen[0]
    head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + seen.body).get_payload()
    read = [(part.get_param("name", header="content-disposition"), part.get_payload(decode=True)) for part in parts]
    assert read == [
        ("note", "ü".encode()),
        ("tag", b"1"),
        ("tag", b"2"),
        ("doc", b"from a file\r\n--x"),
        ("raw", b"\0\1"),
        ("late", b"ab"),
    ]
    assert parts[3].get_filename() == "a %22b%22.txt"
    assert int(seen.headers["content-length"]) == len(seen.body)


def test_a_stream_that_was_read_is_not_sent_again(driver: Driver, server: ScriptedServer) -> None:
    """Not even with a key: what would go the second time is not what went the first time."""
    server.answers = [Answer(503), GOOD]
    with driver.session(server.url) as http, pytest.raises((OutcomeUnknown, Unavailable)) as caught:
        http.get(method="PUT", body=OneShot(iter([b"a", b"b"])), keyed=True)
    assert [seen.body for seen in server.seen] == [b"ab"]
    assert not caught.value.retryable


def test_a_stream_that_was_not_read_is_sent_after_all(driver: Driver, closed_port: int) -> None:
    """A refused connection reads nothing, so it is tried as often as ever."""
    body = OneShot(iter([b"a"]))
    with driver.session(f"http://127.0.0.1:{closed_port}") as http, pytest.raises(Unavailable) as caught:
        http.get(method="POST", body=body)
    assert caught.value.attempts == FAST.attempts
    assert not body.spent


@pytest.mark.parametrize("size", [3, 1])
def test_a_file_that_changed_is_no_fault_of_the_wire(driver: Driver, server: ScriptedServer, size: int) -> None:
    """Another size than was told ends the call with what is wrong, not with a retry."""
    with driver.session(server.url) as http, pytest.raises(ValueError, match=f"2 bytes|{size} bytes"):
        http.get(method="POST", body=StreamBody(lambda: [b"ab"], size=size))


def test_an_error_of_the_source_is_the_callers(driver: Driver, server: ScriptedServer) -> None:
    """It is raised as it is, and not taken for one of the network."""

    def opener():
        raise FileNotFoundError("gone")

    with driver.session(server.url) as http, pytest.raises(FileNotFoundError, match="gone"):
        http.get(method="POST", body=StreamBody(opener))


def test_a_streamed_answer_knows_no_limit_but_its_bytes_do(driver: Driver, server: ScriptedServer) -> None:
    """Who iterates decides how much to take; who wants all of it is held to max_response_bytes."""
    server.answers = [Answer(503), Answer(body=b"x" * 50_000)]
    with driver.session(server.url, max_response_bytes=10_000) as http:
        assert http.stream() == (200, 50_000)
        with pytest.raises(InvalidResponse, match="10000 bytes"):
            http.whole(http.get(given={"stream": True}))
        server.answers = [Answer(body=b'{"a":1}')]
        assert http.whole(http.get(given={"stream": True})) == b'{"a":1}'
        server.answers = [Answer(404)]
        with pytest.raises(GatewayError, match="404"):
            http.get(given={"stream": True})


def test_a_streamed_answer_gives_its_connection_back(driver: Driver, server: ScriptedServer) -> None:
    """Read to its end, the connection serves the next call; left early, it is closed."""
    # More than the buffers of both ends hold, so that a reader that stops early leaves some of it on the way.
    server.answers = [Answer(body=bytes(2**25))]
    with driver.session(server.url) as http:
        for _ in range(3):
            http.stream()
        assert server.connections == 1
        http.stream(stop_after=10)
        http.stream()
        assert server.connections == 2


def test_a_streamed_answer_that_breaks_off_says_so(driver: Driver, server: ScriptedServer) -> None:
    """Where it is read, as a typed error; the same bytes are not asked for again behind the reader's back."""
    server.answers = [Answer(body=b"x" * 1000, cut=True)]
    with driver.session(server.url) as http, pytest.raises(Unavailable, match="broke off") as caught:
        http.stream()
    assert (caught.value.status, caught.value.attempts, len(server.seen)) == (200, 1, 1)


def test_a_streamed_answer_is_bound_by_the_deadline(driver: Driver, server: ScriptedServer) -> None:
    """A body that trickles for longer than the call may take is cut."""
    server.answers = [Answer(body=b"x" * 100, trickle=0.1)]
    with driver.session(server.url, retry=RetrySettings(deadline=0.5)) as http, pytest.raises(DeadlineExceeded):
        http.stream()
