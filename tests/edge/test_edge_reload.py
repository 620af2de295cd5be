"""What a reload takes over, and what it leaves as it was: counts, circuits, kept answers, the last good files."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.edge.edge_process import ROOT, call, command
from tests.edge.operated import PATIENCE, Operated, eventually, operated, write
from tests.edge.policy_upstream import PolicyUpstream


@pytest.fixture
def upstream() -> Iterator[PolicyUpstream]:
    server = PolicyUpstream()
    yield server
    server.shutdown()
    server.server_close()


def file(upstream: PolicyUpstream, /, *routes: dict[str, Any], **policies: Any) -> dict[str, Any]:
    return {"servers": [{"alias": "up", "url": upstream.url}], "x-airgate": policies, "paths": list(routes)}


def route(path: str, method: str = "GET", **policies: Any) -> dict[str, Any]:
    integration = {"type": "http_proxy", "server": "up"}
    return {"method": method, "path": path, "integration": integration, "x-airgate": policies}


def reloaded(edge: Operated, config: Path, changed: dict[str, Any]) -> None:
    """Have a changed file taken over, and wait until it is."""
    times = taken_over(edge)
    write(config, changed)
    eventually(lambda: taken_over(edge) > times, "taken over")


def taken_over(edge: Operated) -> int:
    return sum("serving the changed" in line for line in edge.said)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


MARK = {"method": "GET", "path": "/mark", "response": "new"}
"""A route that a changed file has in addition."""


# Files that the file names


def schema(name: str) -> str:
    return json.dumps({"type": "object", "required": [name]})


def document(name: str) -> tuple[str, str]:
    """A document, and the file next to it that it refers to."""
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "t", "version": "1"},
            "paths": {
                "/b": {
                    "post": {
                        "operationId": "b",
                        "requestBody": {"content": {"application/json": {"schema": {"$ref": "parts.json#/B"}}}},
                        "responses": {"200": {"description": "fine"}},
                    }
                }
            },
        }
    ), json.dumps({"B": {"type": "object", "required": [name]}})


def refuses(edge: Operated, path: str, name: str) -> bool:
    """Whether a body without a member is refused, and one with it is not."""
    without = call(edge.port, "POST", path, [("Content-Type", "application/json")], b"{}")
    having = call(edge.port, "POST", path, [("Content-Type", "application/json")], json.dumps({name: 1}).encode())
    return (without.status, having.status) == (422, 200)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_changed_file_that_the_file_names_is_taken_over(config: Path, workers: str, tmp_path: Path) -> None:
    """A schema, and what an OpenAPI document refers to, are watched like the file; a bad one leaves the last good."""
    (tmp_path / "a.json").write_text(schema("old"))
    whole, parts = document("old")
    (tmp_path / "openapi.json").write_text(whole)
    (tmp_path / "parts.json").write_text(parts)
    by_schema = {"method": "POST", "path": "/a", "response": 1, "x-airgate": {"validate": {"body": {"$ref": "a.json"}}}}
    operation = {"operation": "b", "document": "openapi.json"}
    by_document = {"method": "POST", "path": "/b", "response": 1, "x-airgate": {"validate": operation}}
    write(config, {"paths": [by_schema, by_document]})
    with operated(config, "--workers", workers) as edge:
        assert refuses(edge, "/a", "old")
        assert refuses(edge, "/b", "old")
        (tmp_path / "a.json").write_text(schema("new"))
        eventually(lambda: refuses(edge, "/a", "new"), "the schema")
        (tmp_path / "parts.json").write_text(document("new")[1])
        eventually(lambda: refuses(edge, "/b", "new"), "the part of the document")
        (tmp_path / "a.json").write_text('{"type": "nonsense"}')
        edge.until("the earlier one still is")
        assert refuses(edge, "/a", "new")
        (tmp_path / "a.json").write_text(schema("mended"))
        eventually(lambda: refuses(edge, "/a", "mended"), "the mended schema")
        assert refuses(edge, "/b", "new")


def test_a_worker_that_is_replaced_begins_with_the_last_good_files(config: Path, tmp_path: Path) -> None:
    """While a schema is bad, a new worker serves what the one before it served."""
    (tmp_path / "a.json").write_text(schema("old"))
    write(
        config,
        {
            "paths": [
                {"method": "POST", "path": "/a", "response": 1, "x-airgate": {"validate": {"body": {"$ref": "a.json"}}}}
            ]
        },
    )
    with operated(config, "--workers", "2") as edge:
        (tmp_path / "a.json").unlink()
        edge.signal(signal.SIGHUP)
        edge.until("the earlier one still is")
        first = set(edge.workers())
        for worker in first:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: edge.is_ready() and not first & set(edge.workers()), "replaced")
        assert refuses(edge, "/a", "old")


def test_a_file_that_was_missing_is_taken_over_when_it_comes(config: Path, tmp_path: Path) -> None:
    """A file is changed to name a schema that is not there yet: once it is, both are served."""
    write(config, {"paths": [MARK]})
    named = {"method": "POST", "path": "/a", "response": 1, "x-airgate": {"validate": {"body": {"$ref": "late.json"}}}}
    with operated(config) as edge:
        write(config, {"paths": [MARK, named]})
        edge.until("the earlier one still is")
        assert call(edge.port, "GET", "/mark").status == 200
        (tmp_path / "late.json").write_text(schema("x"))
        eventually(lambda: refuses(edge, "/a", "x"), "both")


# What has been counted


@pytest.mark.parametrize("change", ["another route", "another rate"])
def test_a_client_that_used_up_its_rate_is_refused_after_a_reload(
    config: Path, upstream: PolicyUpstream, change: str
) -> None:
    """Requests are counted on, also when the limit itself is another one."""
    write(config, file(upstream, route("/rated", limits={"per_client": {"rate": "2/h"}})))
    with operated(config) as edge:
        assert [call(edge.port, "GET", "/rated").status for _ in range(3)] == [200, 200, 429]
        rate = "2/h" if change == "another route" else "3/h"
        reloaded(edge, config, file(upstream, MARK, route("/rated", limits={"per_client": {"rate": rate}})))
        assert call(edge.port, "GET", "/mark").status == 200
        expected = [429, 429] if change == "another route" else [200, 429]
        assert [call(edge.port, "GET", "/rated").status for _ in range(2)] == expected


def test_requests_under_way_hold_their_slots_over_a_reload(config: Path, upstream: PolicyUpstream) -> None:
    """One request at a time stays one, and the slot is free again when the one of the old file is over."""
    limited = route("/hang", limits={"concurrency": 1})
    write(config, file(upstream, limited))
    with operated(config) as edge:
        with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as client:
            client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            assert upstream.hanging.wait(PATIENCE)
            reloaded(edge, config, file(upstream, MARK, limited))
            assert call(edge.port, "GET", "/hang").status == 503
            upstream.hanging.clear()
        assert upstream.left.wait(PATIENCE)
        with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as client:
            client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            assert upstream.hanging.wait(PATIENCE)


BREAKER = {"failures": 2, "cooldown": 600}


@pytest.mark.parametrize(
    ("change", "status"), [("another route", 503), ("another breaker", 502), ("another address", 200)]
)
def test_an_open_circuit_stays_open_while_breaker_and_server_are_the_same(
    config: Path, upstream: PolicyUpstream, change: str, status: int
) -> None:
    """A server that fails is left alone after a reload as well; a new address, or other settings, begin anew."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        before = file(upstream, route("/gone"), upstream={"breaker": BREAKER})
        before["servers"][0]["url"] = f"http://127.0.0.1:{closed.getsockname()[1]}"
        write(config, before)
        with operated(config) as edge:
            assert [call(edge.port, "GET", "/gone").status for _ in range(3)] == [502, 502, 503]
            after = json.loads(json.dumps(before))
            after["paths"].append(MARK)
            if change == "another breaker":
                after["x-airgate"]["upstream"]["breaker"]["failures"] = 5
            elif change == "another address":
                after["servers"][0]["url"] = upstream.url
            reloaded(edge, config, after)
            assert call(edge.port, "GET", "/gone").status == status


# Kept answers


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ("another route", 1),
        ("another limit", 1),
        ("another lifetime", 2),
        ("another cache", 2),
        ("another path", 1),
    ],
)
def test_kept_answers_survive_what_does_not_concern_them(
    config: Path, upstream: PolicyUpstream, change: str, calls: int
) -> None:
    """After a reload an answer comes from the cache, unless the cache or how long answers live has changed."""
    kept = route("/echo/silent", cache={"ttl": 600})
    write(config, file(upstream, kept))
    with operated(config) as edge:
        assert call(edge.port, "GET", "/echo/silent").status == 200
        after = json.loads(json.dumps(file(upstream, kept, MARK)))
        policies = after["paths"][0]["x-airgate"]
        if change == "another limit":
            policies["limits"] = {"rate": "1000/s"}
        elif change == "another lifetime":
            policies["cache"] = {"ttl": 500}
        elif change == "another cache":
            after["x-airgate"]["cache"] = {"bytes": 1_000_000}
        elif change == "another path":
            policies["rewrite"] = "/echo/other"
        reloaded(edge, config, after)
        answer = call(edge.port, "GET", "/echo/silent")
        assert upstream.calls["/echo/silent"] == calls
        assert upstream.calls["/echo/other"] == (change == "another path")
        assert answer.status == 200


class _Named(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.server.name.encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, its base calls it so
        """Stay quiet."""


def test_a_server_at_another_address_is_asked_although_its_answer_was_kept(
    config: Path, upstream: PolicyUpstream
) -> None:
    """What one server said is not what another one of the same alias would say."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Named) for _ in range(2)]
    for server, name in zip(servers, ("one", "two"), strict=True):
        server.name = name  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    first, second = (file(upstream, route("/page", cache=True)) for _ in servers)
    first["servers"][0]["url"], second["servers"][0]["url"] = (
        f"http://127.0.0.1:{server.server_port}" for server in servers
    )
    write(config, first)
    try:
        with operated(config) as edge:
            assert call(edge.port, "GET", "/page").body == b"one"
            reloaded(edge, config, second)
            assert call(edge.port, "GET", "/page").body == b"two"
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


# Certificates


def certificate(folder: Path, name: str, kind: str) -> tuple[Path, Path]:
    """A certificate for a name and its key."""
    made = folder / f"{name}.pem", folder / f"{name}.key"
    keys = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256") if kind == "ec" else ("-newkey", "rsa:2048")
    names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    files = ("-out", str(made[0]), "-keyout", str(made[1]))
    subprocess.run(("openssl", "req", "-x509", *keys, "-nodes", *names, *files), check=True, capture_output=True)
    return made


def shown(port: int, name: str | None = "a.test") -> bytes:
    """The certificate that a new connection sees; without a name none is asked for, as by address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        seen = connection.getpeercert(binary_form=True)
        assert seen is not None
        return seen


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_changed_certificate_is_shown_to_new_connections(config: Path, tmp_path: Path, workers: str) -> None:
    """Also one with a key of another type; an open connection goes on, and a pair that does not fit changes nothing."""
    old, new = certificate(tmp_path, "old", "rsa"), certificate(tmp_path, "new", "ec")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(old[0].read_bytes())
    key.write_bytes(old[1].read_bytes())
    write(config, {"paths": [MARK]})
    options = ("--tls-cert", str(cert), "--tls-key", str(key), "--workers", workers)
    with operated(config, *options) as edge:
        assert shown(edge.port) == der(old[0])
        context = ssl.create_default_context(cafile=str(old[0]))
        with (
            socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="old") as standing,
        ):
            key.write_bytes(new[1].read_bytes())
            edge.until("cannot serve HTTPS")
            assert {shown(edge.port, name) for name in ("a.test", None)} == {der(old[0])}
            cert.write_bytes(new[0].read_bytes())
            eventually(lambda: taken_over(edge) == 1, "the new pair")
            assert {shown(edge.port, name) for name in ("a.test", None) for _ in range(4)} == {der(new[0])}
            standing.sendall(b"GET /mark HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b'"new"' in b"".join(iter(lambda: standing.recv(65536), b""))
        cert.write_text("nonsense")
        edge.signal(signal.SIGHUP)
        eventually(lambda: sum("cannot serve HTTPS" in line for line in edge.said) == 2, "refused")
        if workers == "2":
            first = set(edge.workers())
            for worker in first:
                os.kill(worker, signal.SIGKILL)
            eventually(lambda: edge.is_ready() and not first & set(edge.workers()), "replaced")
        assert shown(edge.port) == der(new[0])


def test_an_encrypted_key_is_refused_and_not_asked_for(config: Path, tmp_path: Path) -> None:
    """The edge does not start, and waits for no passphrase."""
    cert, key = certificate(tmp_path, "old", "ec")
    subprocess.run(
        ("openssl", "ec", "-aes256", "-passout", "pass:x", "-in", str(key), "-out", str(tmp_path / "encrypted")),
        check=True,
        capture_output=True,
    )
    write(config, {"paths": [MARK]})
    done = subprocess.run(
        [*command(config), "--tls-cert", str(cert), "--tls-key", str(tmp_path / "encrypted")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "not be encrypted" in done.stderr
