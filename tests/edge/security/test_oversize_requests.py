"""Requests that are too large in each of their parts: the right answer, an upstream left alone, memory that stays."""

import socket
from collections.abc import Iterator

import pytest

from tests.edge.edge_process import receive
from tests.edge.operated import eventually
from tests.edge.security.attacked_edge import Attacked, attacked, proxy
from tests.edge.security.raw_client import Talk, talk

LIMITS = {"header_bytes": 8000, "headers": 50, "uri": 2000, "body": 100_000, "body_seconds": 20, "header_seconds": 5}
GET = b"GET /attack HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /attack HTTP/1.1\r\nHost: x\r\n"
MEGABYTE = b"x" * 1024 * 1024


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    unbounded = proxy("/unbounded", **{"x-airgate": {"limits": {"body": None, "body_seconds": 60}}})
    with attacked(tmp_path_factory.mktemp("oversize"), unbounded, limits=LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def _anew(edge: Attacked) -> None:
    edge.upstream.forget()


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
TOO_LARGE = {
    "one header": (GET + b"X-A: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "name of a header": (GET + b"a" * 9000 + b": a\r\n\r\n", 431),
    "all headers": (GET + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 400) for n in range(30)) + b"\r\n", 431),
    "number of headers": (GET + b"X: a\r\n" * 60 + b"\r\n", 431),
    "path": (b"GET /" + b"a" * 2500 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "query": (b"GET /a?" + b"a" * 2500 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "path that grows by escapes": (b"GET /" + b"\xc3\xa9" * 900 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "method": (b"G" * 20_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "Cookie": (GET + b"Cookie: " + b"a=b; " * 3000 + b"\r\n\r\n", 431),
    "length": (POST + b"Content-Length: 100001\r\n\r\n", 413),
    "length of twenty digits": (POST + b"Content-Length: 18446744073709551615\r\n\r\n", 413),
    "length after an expectation": (POST + b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n", 413),
    "chunk": (CHUNKED + b"186a1\r\n" + b"x" * 100_001 + b"\r\n0\r\n\r\n", 413),
    "many chunks": (CHUNKED + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 101 + b"0\r\n\r\n", 413),
}


@pytest.mark.parametrize(("sent", "status"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_is_too_large_is_refused_before_the_upstream_has_a_request(
    edge: Attacked, sent: bytes, status: int
) -> None:
    """The status says which part it was; the upstream sees nothing, or a body that is cut."""
    heard = talk(edge.port, sent)
    assert heard.statuses[:1] == [status]
    assert [each.target for each in edge.arrived()] == ["/marker"] * (not heard.closed)


@pytest.mark.parametrize("sent", [GET + b"X-A: " + b"a" * 15_000, b"GET /" + b"a" * 15_000, GET + b"X: a\r\n" * 2500])
def test_a_head_without_end_is_refused_while_it_comes(edge: Attacked, sent: bytes) -> None:
    """Nobody waits for its end to count it."""
    heard = talk(edge.port, sent, marker=b"")
    assert (heard.statuses, heard.closed) == ([431], True)
    assert edge.arrived() == []


@pytest.mark.parametrize("status", [400, 413, 431])
def test_a_client_that_goes_on_sending_still_hears_why(edge: Attacked, status: int) -> None:
    """A reset would take the answer away; so what still comes is read and thrown away for a moment."""
    bad = {400: b"BAD\r\n\r\n", 413: POST + b"Content-Length: 9999999\r\n\r\n", 431: GET + b"X: " + b"a" * 15_000}
    for _ in range(20):
        heard: Talk = talk(edge.port, bad[status], *[b"x" * 2000] * 20, marker=b"")
        assert (heard.statuses, heard.closed) == ([status], True)


def test_200_megabytes_do_not_fit_through_a_limit(edge: Attacked) -> None:
    """Declared or in chunks, they are refused, and never held in memory."""
    before = edge.peak_kb()
    for head, piece in (
        (POST + b"Content-Length: 209715200\r\n\r\n", MEGABYTE),
        (CHUNKED, b"100000\r\n" + MEGABYTE + b"\r\n"),
    ):
        heard = talk(edge.port, head, *[piece] * 200, marker=b"")
        assert heard.closed
        assert heard.statuses in ([413], [])  # the client may still be sending when the connection ends
    assert edge.arrived() == []
    assert edge.peak_kb() - before < 20_000


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_200_megabytes_pass_through_little_memory(edge: Attacked, chunked: bool) -> None:
    """Where a file sets no limit, a body flows as fast as the upstream takes it."""
    before = edge.peak_kb()
    head = b"POST /unbounded HTTP/1.1\r\nHost: x\r\n"
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as connection:
        connection.sendall(
            head + (b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 209715200") + b"\r\n\r\n"
        )
        for _ in range(200):
            connection.sendall(b"100000\r\n" + MEGABYTE + b"\r\n" if chunked else MEGABYTE)
        connection.sendall(b"0\r\n\r\n" if chunked else b"")
        assert receive(connection).status == 200
    assert [each.target for each in edge.arrived()] == ["/unbounded"]
    assert edge.peak_kb() - before < 20_000


def test_a_body_that_grows_too_large_is_cut_for_the_upstream(edge: Attacked) -> None:
    """It cannot take the beginning for the whole: the last chunk never comes."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=20) as connection:
        connection.sendall(CHUNKED + b"400\r\n" + b"x" * 1024 + b"\r\n")
        for _ in range(120):
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert receive(connection).status == 413
    eventually(lambda: len(edge.upstream.cut) == 1, "the upstream sees a request that breaks off")
    assert edge.arrived() == []


@pytest.mark.parametrize("end", [b"\r\n", b""], ids=["complete", "without end"])
def test_compatible_mode_holds_no_endless_head_either(tmp_path_factory: pytest.TempPathFactory, end: bytes) -> None:
    """It knows no limits of a file; a head that never ends is refused after a megabyte all the same."""
    with attacked(tmp_path_factory.mktemp("compatible"), mode="compatible") as edge:
        before = edge.peak_kb()
        heard = talk(edge.port, GET, *[b"X-A: " + b"a" * 65_000 + b"\r\n"] * 200, end, marker=b"")
        assert heard.closed
        assert heard.statuses in ([431], [])
        assert edge.arrived() == []
        assert edge.peak_kb() - before < 20_000
