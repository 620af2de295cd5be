"""An edge under load that is reloaded, ended, or loses a worker or its upstream: what its clients notice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.edge.edge_process import ROOT, command
from tests.edge.operated import PATIENCE, Load, Operated, eventually, free_port, operated, write

UPSTREAM = """
import http.server, sys

class Here(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body go out together: a kill never comes between them

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"here")

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Here).serve_forever()
"""


def static(answer: str) -> dict[str, Any]:
    return {"paths": [{"method": "GET", "path": "/a", "response": answer}]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    write(file, static("first"))
    return file


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_under_load_drops_no_request(config: Path, workers: str) -> None:
    """With a changed file, and with SIGHUP, the new answer takes over from the old one; every request is answered."""
    with operated(config, "--workers", workers) as edge, Load(edge.port, "/a").running() as load:
        for answer in ("second", "third"):
            write(config, static(answer))
            if answer == "third":
                edge.signal(signal.SIGHUP)
            eventually(lambda answer=answer: load.seen[(200, f'"{answer}"')] > 20, answer)  # type: ignore[misc]
        eventually(lambda: sum("serving the changed" in line for line in edge.said) >= 2, "all workers have taken over")
        time.sleep(0.2)  # what was under way is over by then
        before = load.seen[(200, '"first"')] + load.seen[(200, '"second"')]
        time.sleep(0.2)
        assert load.seen[(200, '"first"')] + load.seen[(200, '"second"')] == before
    assert load.lost == []
    assert {status for status, _ in load.seen} == {200}


def test_a_bad_file_is_refused_with_all_problems_and_the_good_one_still_served(config: Path) -> None:
    """What is wrong with the changed file stands in the log; a file that is mended afterwards is taken over."""
    with operated(config) as edge, Load(edge.port, "/a").running(1) as load:
        write(config, {"paths": [{"method": "GET", "path": "/a", "respones": 1, "auth": True}], "path": 1})
        edge.until("the earlier one still is")
        edge.until("/paths/0/respones: unknown key")
        edge.until("/path: unknown key")
        assert load.seen.keys() == {(200, '"first"')}
        write(config, static("mended"))
        eventually(lambda: load.seen[(200, '"mended"')] > 0, "mended")
    assert load.lost == []


def test_compatible_mode_does_not_take_over_a_file_that_would_fail_every_request(config: Path) -> None:
    """At the start such a file is served, as the gateway does; while another one is served, it is not."""
    with operated(config, "--mode", "compatible") as edge, Load(edge.port, "/a").running(1) as load:
        config.write_text('{"paths": [{"method": "GET", "pa')
        edge.until("is no file with routes")
        assert load.seen.keys() == {(200, '"first"')}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "new connections"])
def test_sigterm_under_load_drops_no_request(config: Path, workers: str, keep_alive: bool) -> None:
    """Every request over a connection that was taken is answered in full; then none is taken, and the edge exits 0."""
    with operated(config, "--workers", workers) as edge:
        with Load(edge.port, "/a", keep_alive).running(6) as load:
            eventually(lambda: load.seen.total() > 200, "load")
            edge.signal(signal.SIGTERM)
            eventually(lambda: load.refused == 6, "no client is served any more")
        assert load.lost == []
        assert load.seen.keys() == {(200, '"first"')}
        assert edge.process.wait(10) == 0


def test_a_drain_waits_for_running_requests_says_so_and_gives_up_in_time(slow_config: Path) -> None:
    """While a slow answer is under way, `/-/ready` is 503; it ends in full within the time, and with 503 after it."""
    for drain, complete in (("5", True), ("0.6", False)):
        with operated(slow_config, "--drain-timeout", drain) as edge:
            load = Load(edge.port, "/slow")
            with load.running(1):
                time.sleep(0.3)
                edge.signal(signal.SIGTERM)
                eventually(lambda edge=edge: edge.page("ready")[0] == 503, "not ready")  # type: ignore[misc]
                assert edge.process.wait(10) == 0
        assert load.lost == []
        ((status, body),) = load.seen
        assert (status, body) == (200, "slow") if complete else (status, json.loads(body)["status"]) == (503, 503)


@pytest.fixture
def slow_config(tmp_path: Path) -> Any:
    port = free_port()
    program = f"""
import asyncio
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    await asyncio.sleep(1.5)
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nslow")
async def main():
    async with await asyncio.start_server(answer, "127.0.0.1", {port}) as server:
        print("up", flush=True)
        await server.serve_forever()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as upstream:
        assert upstream.stdout is not None
        upstream.stdout.readline()
        file = tmp_path / "config.json"
        write(file, proxied(port, "/slow"))
        yield file
        upstream.kill()


def proxied(port: int, path: str) -> dict[str, Any]:
    route = {"method": "GET", "path": path, "integration": {"type": "http_proxy", "server": "up"}}
    return {"servers": [{"alias": "up", "url": f"http://127.0.0.1:{port}"}], "paths": [route]}


def test_a_killed_worker_is_replaced_while_the_others_serve(config: Path) -> None:
    """Only connections of the killed worker are cut; new ones are served throughout, and two workers stand again."""
    with operated(config, "--workers", "2") as edge:
        first = set(edge.workers())
        with Load(edge.port, "/a", keep_alive=False).running(3) as load:
            eventually(lambda: load.seen.total() > 100, "load")
            os.kill(min(first), signal.SIGKILL)
            eventually(lambda: not edge.is_ready(), "noticed")
            eventually(edge.is_ready, "replaced")
            served = load.seen.total()
            eventually(lambda: load.seen.total() > served + 100, "load")
        assert len(load.lost) <= 3  # one for each client at most: what the killed worker had in its hands
        assert len(set(edge.workers()) - first) == 1
        edge.signal(signal.SIGTERM)
        assert edge.process.wait(15) == 0


def test_workers_end_when_the_process_that_keeps_them_is_killed(config: Path) -> None:
    """Nobody is left behind on the port."""
    with operated(config, "--workers", "2") as edge:
        workers = edge.workers()
        edge.process.kill()
        edge.process.wait()
        eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "workers are gone")


def test_a_dead_upstream_is_502_and_a_new_one_serves_again(tmp_path: Path) -> None:
    """While the upstream is killed and restarted under load, clients see its answers or clean 502 and 503."""
    port = free_port()
    program = [sys.executable, "-c", UPSTREAM, str(port)]
    config = tmp_path / "config.json"
    file = proxied(port, "/page")
    file["x-airgate"] = {"upstream": {"breaker": {"cooldown": 0.5}}}
    write(config, file)
    with operated(config) as edge, Load(edge.port, "/page").running() as load:
        for times in (1, 2):
            with subprocess.Popen(program, stderr=subprocess.DEVNULL) as upstream:
                seen = load.seen[(200, "here")]
                eventually(lambda seen=seen: load.seen[(200, "here")] > seen + 50, f"up {times}")  # type: ignore[misc]
                upstream.kill()
            time.sleep(0.3)
    assert load.lost == []
    assert {status for status, _ in load.seen} <= {200, 502, 503}
    failures = [json.loads(body) for status, body in load.seen if status != 200]
    assert failures
    assert all(set(problem) >= {"type", "title", "status", "detail"} for problem in failures)


def test_memory_does_not_grow_with_requests(tmp_path: Path, config: Path) -> None:
    """The short sibling of a million requests: after a warm-up, thousands more leave the memory where it was."""
    with operated(config, "--access-log", str(tmp_path / "access.log")) as edge:
        with Load(edge.port, "/a").running(2) as load:
            eventually(lambda: load.seen.total() > 2000, "warm-up")
            before = resident(edge)
            eventually(lambda: load.seen.total() > 8000, "load")
        assert resident(edge) < before * 1.1


def resident(edge: Operated) -> int:
    return int(Path(f"/proc/{edge.process.pid}/statm").read_text().split()[1])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_is_heard_as_soon_as_the_edge_says_that_it_serves(config: Path, workers: str) -> None:
    """A signal that comes with the first line of the log ends the edge, with 0, not by accident."""
    for _ in range(3):
        with subprocess.Popen(
            [*command(config), "--workers", workers], cwd=ROOT, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert "serving" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
