"""What an operator sees of a real edge: admin pages, figures, the access log, ids, other listeners."""

import functools
import http.client
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.edge.echo_upstream import EchoUpstream
from tests.edge.edge_process import ROOT, SECRET, call, command, receive
from tests.edge.operated import Operated, eventually, operated, write


@pytest.fixture(scope="module")
def upstream() -> Iterator[EchoUpstream]:
    opened = EchoUpstream()
    opened.open("up")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def file_before(upstream: EchoUpstream, silent: int) -> dict[str, Any]:
    proxy = {"type": "http_proxy", "server": "up"}
    return {
        "servers": [
            {"alias": "up", "url": f"http://127.0.0.1:{upstream.ports['up']}"},
            {"alias": "silent", "url": f"http://127.0.0.1:{silent}"},
        ],
        "authorizer": {"type": "jwt", "secret": "$secret.EDGE_TEST_SECRET"},
        "paths": [
            {"method": "GET", "path": "/things/{id}", "integration": proxy},
            {"method": "GET", "path": "/guarded", "auth": True, "integration": proxy},
            {"method": "GET", "path": "/-/health", "response": "of the file"},
            {"method": "GET", "path": "/silent", "integration": {"type": "http_proxy", "server": "silent"}},
        ],
    }


@pytest.fixture(scope="module")
def config(upstream: EchoUpstream, silent: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("operation") / "config.json"
    write(file, file_before(upstream, silent))
    return file


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def edge(config: Path, log: Path) -> Iterator[Operated]:
    options = ("--workers", "2", "--access-log", str(log))
    with operated(config, *options, variables={"EDGE_TEST_SECRET": SECRET}) as running:
        yield running


def test_admin_pages_have_a_listener_of_their_own(edge: Operated) -> None:
    """The admin listener answers with the edge's health; on the gateway's port that path belongs to the file."""
    assert edge.page("health") == (200, b'{"healthy":true}')
    assert edge.page("unknown")[0] == 404
    assert call(edge.port, "GET", "/-/health").body == b'"of the file"'
    assert call(edge.port, "GET", "/-/ready").status == 404
    assert call(edge.admin, "POST", "/-/health", body=b"").status == 405


def test_the_routes_page_lists_the_file_without_secrets(edge: Operated) -> None:
    """Each route with its place, method, path, guard and server; nothing of the authorizer."""
    status, body = edge.page("routes")
    first, guarded, *_ = json.loads(body)
    assert status == 200
    assert (first["pointer"], first["method"], first["path"]) == ("/paths/0", "GET", "/things/{id}")
    assert (guarded["auth"], guarded["integration"], guarded["server"]) == (True, "http_proxy", "up")
    assert SECRET.encode() not in body


def figure(edge: Operated, name: str) -> float:
    lines = edge.page("metrics")[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_metrics_are_the_sum_of_all_workers(edge: Operated) -> None:
    """Requests over connections that both workers take are counted once each, by route, status and server."""
    name = 'airgate_edge_requests_total{method="GET",route="/things/{id}",server="up",status="200"}'
    before = figure(edge, name)
    for number in range(40):
        assert call(edge.port, "GET", f"/things/{number}").status == 200
    eventually(lambda: figure(edge, name) == before + 40, "40 more requests")
    assert figure(edge, "airgate_edge_request_seconds_count") >= 40


def lines_of(log: Path, request_id: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in found if line["request_id"] == request_id]


def test_the_access_log_tells_the_route_and_nothing_that_a_client_made_up(edge: Operated, log: Path) -> None:
    """A line has the path of the route, not the one asked for; no query and no token stand anywhere in the log."""
    token = jwt.encode({"sub": "a", "exp": time.time() + 3600}, SECRET, "HS256")
    headers = [("Authorization", f"Bearer {token}"), ("X-Request-Id", "log-1")]
    assert call(edge.port, "GET", "/guarded?password=hunter2", headers).status == 200
    assert call(edge.port, "GET", "/nowhere/hunter2", [("X-Request-Id", "log-2")]).status == 404
    eventually(lambda: bool(lines_of(log, "log-1") and lines_of(log, "log-2")), "both lines")
    (served,), (unknown,) = lines_of(log, "log-1"), lines_of(log, "log-2")
    assert (served["method"], served["route"], served["server"], served["status"]) == ("GET", "/guarded", "up", 200)
    assert served["bytes"] > 0
    assert 0 < served["seconds"] < 5
    assert (served["client"], served["complete"]) == ("127.0.0.1", True)
    assert (unknown["route"], unknown["server"], unknown["status"]) == (None, None, 404)
    text = log.read_text()
    assert "hunter2" not in text
    assert token not in text


def test_an_answer_that_breaks_off_is_told(edge: Operated, log: Path) -> None:
    """The log says that a truncated answer is not complete."""
    headers = [("X-Request-Id", "cut-1"), ("X-Echo-Ctl", '{"fill": 1000, "truncate": 500}')]
    assert call(edge.port, "GET", "/things/1", headers).truncated
    eventually(lambda: bool(lines_of(log, "cut-1")), "the line")
    assert lines_of(log, "cut-1")[0]["complete"] is False


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("abc-123", True), ("x" * 129, False), ("a b", False), ('a"b', False), ("", False)],
    ids=["sane", "long", "space", "quote", "empty"],
)
def test_a_request_has_one_id_for_client_and_upstream(
    edge: Operated, upstream: EchoUpstream, sent: str, kept: bool
) -> None:
    """A sane id is taken over, any other is replaced; the client gets the one that the upstream saw."""
    upstream.take()
    answer = call(edge.port, "GET", "/things/1", [("X-Request-Id", sent)])
    (seen,) = upstream.take()
    (passed,) = [value for name, value in seen.headers if name.lower() == "x-request-id"]
    assert answer.header("x-request-id") == passed
    assert (passed == sent) == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(PARENT, True), (PARENT.upper(), False), (PARENT.replace("b7ad6b7169203331", "0" * 16), False), ("x", False)],
)
def test_a_trace_is_passed_on_or_started(edge: Operated, upstream: EchoUpstream, sent: str, kept: bool) -> None:
    """A well-formed `traceparent` reaches the upstream as it came, with its state; else a new trace replaces both."""
    upstream.take()
    call(edge.port, "GET", "/things/1", [("traceparent", sent), ("tracestate", "a=1")])
    (seen,) = upstream.take()
    headers = {name.lower(): value for name, value in seen.headers}
    assert (headers["traceparent"] == sent) == kept
    assert ("tracestate" in headers) == kept
    assert len(headers["traceparent"]) == len(PARENT)


def test_a_unix_socket_is_served_and_removed(config: Path, tmp_path: Path) -> None:
    """The edge answers on the path, which others may not connect to, and takes it away at the end."""
    path = tmp_path / "edge.sock"
    options = [*command(config)[:4], "--uds", str(path)]
    environment = {**os.environ, "EDGE_TEST_SECRET": SECRET}
    with subprocess.Popen(options, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"unix:{path}" in process.stderr.readline()
        assert path.stat().st_mode & 0o007 == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /-/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert receive(client).body == b'"of the file"'
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert not path.exists()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "cert.pem", folder / "key.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    files = ("-out", str(made[0]), "-keyout", str(made[1]))
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *names, *files),
        check=True,
        capture_output=True,
    )
    return made


@pytest.mark.parametrize("workers", ["1", "2"])
def test_https_is_served(config: Path, certificate: tuple[Path, Path], workers: str) -> None:
    """With a certificate and its key, clients that trust it are answered over TLS."""
    cert, key = certificate
    options = ("--tls-cert", str(cert), "--tls-key", str(key), "--workers", workers)
    with operated(config, *options, variables={"EDGE_TEST_SECRET": SECRET}) as running:
        context = ssl.create_default_context(cafile=str(cert))
        client = http.client.HTTPSConnection("localhost", running.port, context=context, timeout=10)
        client.request("GET", "/-/health")
        assert client.getresponse().read() == b'"of the file"'
        client.close()


def test_an_upstream_over_https_is_called_only_when_its_certificate_is_trusted(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """With the certificate among the trusted ones the answer comes back; without, it is 502 and nothing was asked."""
    (tmp_path / "page").write_text("over TLS")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = tmp_path / "config.json"
    route = {"method": "GET", "path": "/page", "integration": {"type": "http_proxy", "server": "up"}}
    servers = [{"alias": "up", "url": f"https://localhost:{server.server_port}"}]
    write(config, {"servers": servers, "paths": [route]})
    try:
        with operated(config, variables={"SSL_CERT_FILE": str(certificate[0])}) as running:
            assert call(running.port, "GET", "/page").body == b"over TLS"
        with operated(config) as running:
            assert call(running.port, "GET", "/page").status == 502
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tls-cert", "nowhere.pem"], "--tls-cert and --tls-key go together"),
        (["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.key"], "cannot serve HTTPS with nowhere.pem"),
        (["--access-log", "/nowhere/log"], "cannot write /nowhere/log"),
        (["--admin", "127.0.0.1"], "'127.0.0.1' is not HOST:PORT"),
        (["--workers", "0"], "'0' is not a number of processes"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:0"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(config: Path, options: list[str], said: str) -> None:
    """The exit code is 2, and one line says what is wrong."""
    environment = {**os.environ, "EDGE_TEST_SECRET": SECRET}
    done = subprocess.run(
        [*command(config), *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_a_request_whose_client_leaves_is_told_without_a_status(edge: Operated, log: Path) -> None:
    """A client that closes before it is answered leaves a line with its id, and no status."""
    with socket.create_connection(("127.0.0.1", edge.port)) as client:
        client.sendall(b"GET /silent HTTP/1.1\r\nHost: x\r\nX-Request-Id: left-1\r\n\r\n")
        time.sleep(0.2)
    eventually(lambda: bool(lines_of(log, "left-1")), "the line")
    (line,) = lines_of(log, "left-1")
    assert (line["server"], line["status"], line["complete"]) == ("silent", None, False)
