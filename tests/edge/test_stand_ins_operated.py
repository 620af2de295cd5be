"""Stand-ins while the edge is operated: limits and clients that leave, reloads, workers, what is told of calls."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.edge_process import Response, call, edge
from tests.edge.operated import Operated, eventually, operated, write
from tests.edge.stand_in_folder import VARIABLES, bound, gateway_file, hooked, stand_ins

WORDS = """
import threading

from . import shared

started = threading.Event()


def word(request, env, context):
    return shared.WORD


def waits(request, env, context):
    started.set()
    import time
    from pathlib import Path
    while not Path(env["MARK"]).exists():
        time.sleep(0.01)
    return shared.WORD


def begun(request, env, context):
    return "begun" if started.is_set() else "not"
"""


def small(folder: Path) -> dict[str, Any]:
    file = gateway_file("http://127.0.0.1:9")
    file["x-airgate"] = {
        "services": {"env": ["TENANT", "MARK"]},
        "limits": {"body": 1000, "per_client": {"concurrency": 2}},
    }
    file["paths"] = [
        bound("/hang", "hang", policies={"limits": {"seconds": 0.3}}),
        bound("/block", "block", policies={"limits": {"seconds": 0.3}}),
        bound("/wait", "hang"),
        bound("/echo", "echo", policies={"validate": {"query": {"required": ["day"]}}}),
        bound("/rated", "text", policies={"limits": {"rate": "1/min"}}),
        bound("/obj", "obj"),
        bound("/boom", "boom"),
        hooked("/hook", "deny"),
        hooked("/order", "allow", policies={"validate": {"query": {"required": ["day"]}}}),
    ]
    return file


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operated, Path]]:
    folder = tmp_path_factory.mktemp("operated")
    config = folder / "config.json"
    config.write_text(json.dumps(small(folder)))
    log = folder / "access.log"
    options = ("--stand-ins", str(stand_ins(folder / "stand-ins")), "--access-log", str(log))
    with operated(config, *options, variables={**VARIABLES, "MARK": str(folder / "mark")}) as opened:
        yield opened, folder


def status(response: Response) -> int:
    assert json.loads(response.body)["status"] == response.status
    return response.status


@pytest.mark.parametrize("path", ["/hang", "/block"])
def test_a_stand_in_may_not_take_longer_than_its_route(running: tuple[Operated, Path], path: str) -> None:
    """504 at its time, also where a thread blocks that nobody can end; the edge serves on meanwhile."""
    began = time.monotonic()
    assert status(call(running[0].port, "GET", path)) == 504
    assert 0.25 < time.monotonic() - began < 10
    assert call(running[0].port, "GET", "/obj").status == 200


def test_the_limits_of_a_route_hold_before_its_stand_in(running: tuple[Operated, Path]) -> None:
    """Bodies, rates, validation and requests at once count as on routes to servers."""
    opened, folder = running
    port = opened.port
    assert status(call(port, "POST", "/obj", body=b"x" * 1001)) == 413
    assert status(call(port, "POST", "/obj", body=b"x" * 1001, chunked=True)) == 413
    assert status(call(port, "POST", "/hook", body=b"x" * 1001, chunked=True)) == 413
    assert status(call(port, "GET", "/echo")) == 400
    assert status(call(port, "GET", "/order")) == 400
    assert call(port, "GET", "/rated").status == 200
    assert status(call(port, "GET", "/rated")) == 429
    (folder / "mark").unlink(missing_ok=True)
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    for each in waiting:
        each.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually((folder / "mark").exists, "begun")
    eventually(lambda: call(port, "GET", "/wait", [("X-Probe", "1")]).status == 429, "two are under way")
    for each in waiting:
        each.close()
    eventually(lambda: (folder / "mark").read_text() == "cancelled", "a client that leaves ends the call")


def test_calls_are_named_in_log_metrics_and_routes(running: tuple[Operated, Path]) -> None:
    """The alias stands where a server's would; what failed is in the log of the edge with its traceback."""
    opened, folder = running
    assert call(opened.port, "GET", "/obj").status == 200
    assert call(opened.port, "GET", "/boom").status == 500
    assert call(opened.port, "GET", "/hook").status == 451

    def logged() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]

    eventually(lambda: any(line["route"] == "/obj" and line["server"] == "svc" for line in logged()), "a line")
    metrics = opened.page("metrics")[1].decode()
    assert 'method="GET",route="/boom",server="svc",status="500"' in metrics
    listed = {route["path"]: (route["service"], route["hook"]) for route in json.loads(opened.page("routes")[1])}
    assert listed["/obj"] == ("svc.obj", None)
    assert listed["/hook"] == (None, "svc.deny")
    opened.until("RuntimeError: no luck with ***")  # a granted variable is no text for a log


def words_file() -> dict[str, Any]:
    file = gateway_file("http://127.0.0.1:9")
    file["x-airgate"]["services"]["env"] = ["MARK"]
    file["serviceBindings"] = [{"alias": "words", "binding": "WORDS"}]
    file["paths"] = [bound(f"/{name}", name, "words") for name in ("word", "waits", "begun")]
    return file


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_a_changed_module_is_taken_over_and_the_old_one_ends_its_requests(tmp_path: Path, mode: str) -> None:
    """Also one that another imports; a module that does not load leaves the earlier ones in place."""
    config, folder = tmp_path / "config.json", stand_ins(tmp_path / "stand-ins")
    config.write_text(json.dumps(words_file()))
    (folder / "WORDS.py").write_text(WORDS)
    variables = {**VARIABLES, "MARK": str(tmp_path / "mark")}
    answers: list[bytes] = []
    with operated(config, "--stand-ins", str(folder), "--mode", mode, variables=variables) as opened:
        port = opened.port
        slow = threading.Thread(target=lambda: answers.append(call(port, "GET", "/waits").body))
        slow.start()
        eventually(lambda: call(port, "GET", "/begun").body == b"begun", "a request is under way")
        (folder / "shared.py").write_text('WORD = "edited"\n')  # as long as before: the time of a file is too coarse
        eventually(lambda: call(port, "GET", "/word").body == b"edited", "taken over")
        assert call(port, "GET", "/begun").body == b"not"
        (tmp_path / "mark").touch()
        slow.join(10)
        assert answers == [b"shared"]
        (folder / "shared.py").write_text("WORD =\n")
        if mode == "strict":
            opened.until("/serviceBindings/0/binding: WORDS.py cannot be imported: SyntaxError")
            assert call(port, "GET", "/word").body == b"edited"
        else:
            eventually(lambda: call(port, "GET", "/word").status == 500, "the module is gone")


def test_workers_take_over_changed_modules(tmp_path: Path) -> None:
    """Every one of them, and those that replace a dead one."""
    config, folder = tmp_path / "config.json", stand_ins(tmp_path / "stand-ins")
    config.write_text(json.dumps(words_file()))
    (folder / "WORDS.py").write_text(WORDS)
    options = ("--stand-ins", str(folder), "--workers", "2", "--no-watch")
    with operated(config, *options, variables={**VARIABLES, "MARK": str(tmp_path / "mark")}) as opened:
        assert call(opened.port, "GET", "/word").body == b"shared"
        (folder / "shared.py").write_text('WORD = "edited"\n')
        opened.signal(signal.SIGHUP)
        opened.until("serving the changed")
        assert {call(opened.port, "GET", "/word").body for _ in range(20)} == {b"edited"}
        os.kill(opened.workers()[0], signal.SIGKILL)
        opened.until("is replaced")
        eventually(opened.is_ready, "two workers again")
        assert {call(opened.port, "GET", "/word").body for _ in range(20)} == {b"edited"}


def test_a_thread_that_hangs_does_not_keep_the_edge_from_ending(tmp_path: Path) -> None:
    """SIGTERM ends it in time, with exit code 0."""
    config, folder = tmp_path / "config.json", stand_ins(tmp_path / "stand-ins")
    write(config, small(tmp_path))
    options = ("--stand-ins", str(folder), "--drain-timeout", "1")
    with edge(config, *options, variables={**VARIABLES, "MARK": str(tmp_path / "mark")}) as port:
        assert call(port, "GET", "/block").status == 504
