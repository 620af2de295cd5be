"""Airflow's real api-server, for the tests of this room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

PROJECT = Path(__file__).parents[2]


@dataclass
class Ingress:
    """A running one."""

    address: str
    process: subprocess.Popen[str]
    tokens: dict[str, str] = field(default_factory=dict)
    home: Path = PROJECT
    """Of its Airflow; what it logs is in the file ``log``."""

    def do(self, name: str, *arguments: Any) -> Any:
        """Have something done to its database; see ``serving_runs.Doing``."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self._line("did: "))

    def _line(self, start: str) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(start):
                return line.removeprefix(start).strip()
        raise AssertionError("the server has ended")

    def token(self, who: str) -> str:
        """A token of one of Airflow's own principals: ``name:role``."""
        if who not in self.tokens:
            self.tokens[who] = self.do("token", *who.split(":"))
        return self.tokens[who]

    def ask(self, method: str, path: str, who: str | None = "ada:admin", **more: Any) -> requests.Response:
        """One request, by no proxy; ``who`` is a principal, a bearer token, or nobody."""
        headers = dict(more.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {who if '.' in who else self.token(who)}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"{self.address}/airgate/v1{path}", headers=headers, timeout=60, **more)

    def start(self, dag_id: str, params: Any, key: str | None = None, **more: Any) -> requests.Response:
        """Ask for a run."""
        headers = {"Idempotency-Key": key or uuid4().hex, **more.pop("headers", {})}
        return self.ask("POST", f"/dags/{dag_id}/runs", json=params, headers=headers, **more)


def environment_of(home: Path, **settings: str) -> Mapping[str, str]:
    """Of a program that is an Airflow of its own."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    return {
        **bare,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-the-tests-0123456789abcdef" * 2,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=30",
        "AIRFLOW__AIRGATE__INGRESS_RATE": "1000/s",
        "_AIRFLOW_PROCESS_CONTEXT": "server",
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'plugins'}",
        **settings,
    }


@contextmanager
def serving(home: Path, **settings: str) -> Iterator[Ingress]:
    """Run one until the end of the context."""
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ingress.serving_runs"],
            env=environment_of(home, **settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    ingress = Ingress("", process, home=home)
    try:
        try:
            ingress.address = ingress._line("serves: ")
        except AssertionError:
            raise AssertionError((home / "log").read_text()[-4000:]) from None
        yield ingress
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


@pytest.fixture(scope="module")
def ingress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    """One with the usual settings."""
    with serving(tmp_path_factory.mktemp("ingress")) as running:
        yield running
