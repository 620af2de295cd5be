"""A gateway on loopback, its connection, and the commands as Airflow's parser makes them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.scripted_server import ScriptedServer

CANARY = "canary-0123456789abcdef-0123456789abcdef"


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def connection(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define the connection ``gateway_default``; the function changes its extra and other fields."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")  # which the commands set

    def define(extra: dict[str, object] | None = None, **fields: object) -> None:
        values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port, "login": "me"}
        extra = {"auth": "jwt", "attempts": 2, "backoff": 0, **(extra or {})}
        monkeypatch.setenv(
            "AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps({**values, "password": CANARY, **fields, "extra": extra})
        )

    define()
    return define


@pytest.fixture
def gateway(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run ``airflow gateway`` with these arguments, in this process."""
    from airflow.cli.cli_parser import _add_command

    from airgate.cli import get_gateway_cli_commands

    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    for command in get_gateway_cli_commands():
        _add_command(subparsers, command)

    def run(*arguments: str) -> Said:
        code = 0
        capsys.readouterr()
        try:
            args = parser.parse_args(["gateway", *arguments])
            args.func(args)
        except SystemExit as stop:
            code = 0 if stop.code is None else int(stop.code)
        said = capsys.readouterr()
        assert CANARY not in said.out + said.err
        assert CANARY[:20] not in said.out + said.err
        return Said(code, said.out, said.err)

    return run
