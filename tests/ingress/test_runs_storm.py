"""A thousand requests at once, against Airflow's own api-server, which is killed meanwhile: one run for each key."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.ingress.conftest import environment_of

pytestmark = pytest.mark.integration

CALLERS, KEYS, TIMES = ("shop", "pub"), 100, 5
ISSUER, AUDIENCE = "https://issuer.example/", "airgate"
KILLED_AT = 60
"""Runs."""
PATIENCE = 300.0
"""Seconds for all of it; seen with two cores: one minute while seven programs wanted them."""


@dataclass
class Server:
    """Airflow's api-server as a user starts it, in a process group of its own."""

    home: Path
    port: int
    tokens: dict[str, str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0
    repeated: int = 0
    """Requests that got no answer, and were sent again."""

    @property
    def address(self) -> str:
        """Where the runs are."""
        return f"http://127.0.0.1:{self.port}/airgate/v1/dags/orders/runs"

    def start(self) -> None:
        """Start it; whoever asks too early is not answered."""
        command = [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--workers", "1"], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """Kill it and its children, without a chance to end anything."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        self.kills += 1

    def runs(self) -> list[tuple[str, str]]:
        """Who started each run, and its id, by the database."""
        with sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30) as database:
            found = database.execute("select triggering_user_name, run_id from dag_run where dag_id = 'orders'")
            return [(str(who), str(run_id)) for who, run_id in found]


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A new one over a new database."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k", "use": "sig"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [public]}))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 3600, "airgate_dags": ["orders"]}
    tokens = {sub: jwt.encode({**claims, "sub": sub}, key, "RS256", headers={"kid": "k"}) for sub in CALLERS}
    settings = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "JWKS": str(tmp_path / "keys.json")}
    environment = environment_of(
        tmp_path, **{f"AIRFLOW__AIRGATE__INGRESS_{name}": each for name, each in settings.items()}
    )
    prepare = "from tests.ingress.serving_runs import prepare; prepare()"
    subprocess.run([sys.executable, "-c", prepare], env=environment, check=True, capture_output=True, timeout=120)
    running = Server(tmp_path, free_port(), tokens, dict(environment))
    running.start()
    try:
        yield running
    finally:
        running.kill()


async def client(server: Server, session: aiohttp.ClientSession, who: str, key: int) -> tuple[str, int, str]:
    """What a client does that wants one run: it asks until it is told which one it is."""
    headers = {"Authorization": f"Bearer {server.tokens[who]}", "Idempotency-Key": f"order-{key}"}
    while True:
        try:
            async with session.post(server.address, json={"item": "book"}, headers=headers) as answer:
                if answer.status == 202:
                    return who, key, (await answer.json())["id"]
                assert answer.status in {429, 503}, await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            pass
        server.repeated += 1
        await asyncio.sleep(random.uniform(0.2, 0.6))  # no condition: others must not all come back at once


def kill_meanwhile(server: Server) -> int:
    """Kill the server while it makes runs, and start another one; how many runs there were."""
    ends = time.monotonic() + PATIENCE
    while (made := len(server.runs())) < KILLED_AT:
        assert time.monotonic() < ends
        time.sleep(0.02)
    server.kill()
    server.start()
    return made


async def storm(server: Server) -> tuple[int, list[tuple[str, int, str]]]:
    """All clients at once, and the killer."""
    wanted = [(who, key) for who in CALLERS for key in range(KEYS)] * TIMES
    random.Random(7).shuffle(wanted)
    limits = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limits) as session,
        asyncio.timeout(PATIENCE),
    ):
        killing = asyncio.create_task(asyncio.to_thread(kill_meanwhile, server))
        told = await asyncio.gather(*(client(server, session, who, key) for who, key in wanted))
    return await killing, told


async def listed(server: Server, session: aiohttp.ClientSession, who: str) -> list[str]:
    """The runs that a caller sees, page by page."""
    found: list[str] = []
    place: str | None = f"{server.address}?limit=30"
    while place is not None:
        async with session.get(place, headers={"Authorization": f"Bearer {server.tokens[who]}"}) as answer:
            page = await answer.json()
        found += [run["id"] for run in page["runs"]]
        following = page["next"]
        place = None if following is None else f"http://127.0.0.1:{server.port}{following}"
    return found


async def test_a_thousand_requests_and_a_kill_make_a_run_for_each_key(server: Server) -> None:
    made, told = await storm(server)
    assert KILLED_AT <= made < len(CALLERS) * KEYS, "it was killed when all was done"
    assert (server.kills, server.repeated > 0) == (1, True)
    assert len(told) == len(CALLERS) * KEYS * TIMES
    assert len(set(told)) == len(CALLERS) * KEYS, "a key was told two runs"
    runs = server.runs()
    assert len(runs) == len(CALLERS) * KEYS
    own = {who: {run_id for caller, _, run_id in told if caller == who} for who in CALLERS}
    for who in CALLERS:
        assert own[who] == {run_id for starter, run_id in runs if starter == f"{who} ({ISSUER})"}
    async with aiohttp.ClientSession() as session:
        for who, other in (CALLERS, CALLERS[::-1]):
            seen = await listed(server, session, who)
            assert (len(seen), set(seen)) == (KEYS, own[who])
            for run_id in sorted(own[other])[:5]:
                headers: dict[str, Any] = {"Authorization": f"Bearer {server.tokens[who]}"}
                async with session.get(f"{server.address}/{run_id}", headers=headers) as answer:
                    assert answer.status == 404
