"""Requests whose framing can be read in two ways, byte for byte, before an upstream that keeps every byte."""

import ssl
import subprocess
from collections.abc import Iterator

import pytest

from tests.edge.security.attacked_edge import Attacked, attacked
from tests.edge.security.raw_client import MARKER, talk
from tests.edge.security.smuggling_shapes import CHUNKED, GET, H2C, HELLO, POST, REFUSED, SERVED, SERVED_LAST, SMUGGLED


@pytest.fixture(scope="module", params=["strict", "compatible"])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with attacked(tmp_path_factory.mktemp("smuggling"), mode=request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def _anew(edge: Attacked) -> None:
    edge.upstream.forget()


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_a_request_in_doubt_is_refused_and_nothing_after_it_is_read(edge: Attacked, sent: bytes, status: int) -> None:
    """The client hears why, the connection ends, and the upstream sees no request, neither this one nor the next."""
    heard = talk(edge.port, sent)
    assert (heard.statuses, heard.closed) == ([status], True)
    assert b"\r\nconnection: close" in heard.answers[0].head
    assert edge.arrived() == []


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_a_request_in_doubt_is_refused_however_it_is_cut_into_packets(edge: Attacked, sent: bytes, status: int) -> None:
    """The reading does not depend on where packets end."""
    heard = talk(edge.port, *(sent[place : place + 7] for place in range(0, len(sent), 7)))
    assert (heard.statuses, heard.closed) == ([status], True)
    assert edge.arrived() == []


@pytest.mark.parametrize(("sent", "body"), SERVED.values(), ids=SERVED)
def test_a_request_without_doubt_is_framed_anew(edge: Attacked, sent: bytes, body: bytes) -> None:
    """The upstream sees that request, framed once, and then the next one."""
    heard = talk(edge.port, sent)
    assert [each for each in heard.statuses if each != 100] == [200, 200]
    assert [(each.target, each.body) for each in edge.arrived()] == [("/attack", body), ("/marker", b"")]


@pytest.mark.parametrize(("sent", "body"), SERVED_LAST.values(), ids=SERVED_LAST)
def test_after_a_request_that_ends_the_connection_nothing_is_read(edge: Attacked, sent: bytes, body: bytes) -> None:
    """A wish for another protocol is ignored, its request served, and what follows it belongs to nobody."""
    heard = talk(edge.port, sent + SMUGGLED)
    assert (heard.statuses, heard.closed) == ([200], True)
    assert b"\r\nconnection: close" in heard.answers[0].head
    (seen,) = edge.arrived()
    assert (seen.target, seen.body) == ("/attack", body)
    assert {"upgrade", "connection", "x-user"}.isdisjoint(name for name, _ in seen.headers)


@pytest.mark.parametrize(
    "target", [b"http://x/attack", b"https://other/attack", b"x:80", b"*", b"attack", b"http:///attack", b"?attack"]
)
def test_a_target_that_is_no_path_reaches_no_upstream(edge: Attacked, target: bytes) -> None:
    """Absolute form, authority form and the asterisk name no route; where they end is in no doubt."""
    heard = talk(edge.port, b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert heard.statuses[0] == 400
    assert heard.statuses[1:] == [200] * (not heard.closed)
    assert [each.target for each in edge.arrived()] == ["/marker"] * (not heard.closed)


def test_requests_sent_ahead_are_answered_in_their_order(edge: Attacked) -> None:
    """Ten requests with bodies in one packet are ten requests."""
    sent = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n%s" % (n, b"%d" % n * 10) for n in range(1, 10)
    )
    heard = talk(edge.port, sent)
    assert [answer.body for answer in heard.answers] == [*(b"POST /%d" % n for n in range(1, 10)), b"GET /marker"]
    assert [(each.target, each.body) for each in edge.arrived()][:-1] == [
        (f"/{n}", b"%d" % n * 10) for n in range(1, 10)
    ]


def test_a_bad_request_is_refused_after_the_answers_to_those_before_it(edge: Attacked) -> None:
    """The refusal cannot be taken for the answer to an earlier request, nor land within one."""
    heard = talk(edge.port, GET + b"\r\n" + MARKER.replace(b"marker", b"second") + b"GARBAGE\r\n\r\n")
    assert [(each.status, each.body[:11]) for each in heard.answers[:2]] == [
        (200, b"GET /attack"),
        (200, b"GET /second"),
    ]
    assert (heard.statuses, heard.closed) == ([200, 200, 400], True)


def test_a_body_in_doubt_does_not_harm_the_requests_before_it(edge: Attacked) -> None:
    """The first request has its answer; the second, whose chunks are bad, is refused."""
    heard = talk(edge.port, GET + b"\r\n" + CHUNKED + b"5\r\nhel\r\n0\r\n\r\n")
    assert (heard.statuses, heard.closed) == ([200, 400], True)
    assert [each.target for each in edge.arrived()] == ["/attack"]


def test_a_client_cannot_send_requests_ahead_without_end(edge: Attacked) -> None:
    """Of thousands in one packet some dozens are answered, and the connection ends."""
    heard = talk(edge.port, b"GET /a HTTP/1.1\r\nHost:\r\n\r\n" * 8000)
    assert heard.closed
    assert set(heard.statuses) == {200}
    assert 1 <= len(heard.statuses) < 100
    assert len(edge.arrived()) < 100


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, [400]),
        (b"BAD\r\n\r\n" + b"x" * 100_000, [400]),
        (POST + b"Content-Length: 99999999\r\n\r\n", [413]),
        (POST + H2C + b"Content-Length: 5\r\n\r\nhello", [200]),
    ],
    ids=["doubt", "garbage", "too large", "wish for HTTP/2"],
)
def test_over_tls_it_is_the_same(tls_edge: tuple[Attacked, ssl.SSLContext], sent: bytes, statuses: list[int]) -> None:
    """The last answer arrives, and the connection ends."""
    edge, context = tls_edge
    heard = talk(edge.port, sent, tls=context)
    assert (heard.statuses, heard.closed) == (statuses, True)


@pytest.fixture(scope="module")
def tls_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Attacked, ssl.SSLContext]]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    subprocess.run(
        ("openssl", *kind, *subject, "-out", str(cert), "-keyout", str(key)), check=True, capture_output=True
    )
    with attacked(folder, options=("--tls-cert", str(cert), "--tls-key", str(key))) as running:
        yield running, ssl.create_default_context(cafile=str(cert))


def test_a_trailer_is_no_header(edge: Attacked) -> None:
    """Fields after the body, at which no check looks, reach the upstream under no name."""
    trailers = b"Authorization: Bearer x\r\nX-Forwarded-For: 1.1.1.1\r\nX-User: mallory\r\nHost: other\r\n"
    talk(edge.port, CHUNKED + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
    seen = edge.arrived()[0]
    assert {"authorization", "x-user"}.isdisjoint(name for name, _ in seen.headers)
    assert "1.1.1.1" not in str(seen.headers)
    assert len(seen.values("host")) == 1


def test_trailers_and_chunk_extensions_without_end_are_refused(edge: Attacked) -> None:
    """They are part of no body, so that no limit of bodies ends them."""
    for endless in (b"0\r\nX-A: ", b"5;"):
        heard = talk(edge.port, CHUNKED + b"5\r\nhello\r\n" + endless, *[b"a" * 50_000] * 20)
        assert heard.closed
        assert heard.statuses in ([400], [])
    assert edge.arrived() == []
