"""The sample services of the stack: each has a port, a process and an address that the gateway knows."""

from __future__ import annotations

import json
from pathlib import Path

from include.services.__main__ import KEEPING, SERVICES
from stack import environment, ports, processes
from stack.credentials import Credentials
from stack.layout import Layout

PROJECT = Path(__file__).resolve().parents[2]


def test_the_stack_starts_every_sample_service_at_its_port(tmp_path: Path) -> None:
    """And the gateway after them; those that keep something keep it in the home folder."""
    *services, edge = processes.upstreams(Layout(PROJECT, tmp_path, PROJECT / "dags"), ports.DEFAULTS)
    assert edge.name == "edge"
    assert [service.name for service in services] == list(ports.UPSTREAMS) == list(SERVICES)
    for port, service in enumerate(services, 8801):
        command = " ".join(service.command)
        assert f"include.services {service.name} --host 127.0.0.1 --port {port} " in command
        assert service.health == f"http://127.0.0.1:{port}/-/health"
        kept = f"--store {tmp_path / service.name}.sqlite"
        assert command.endswith(kept) == (service.name in KEEPING)
        assert ("--store" in command) == (service.name in KEEPING)


def test_the_gateway_finds_them_all(tmp_path: Path) -> None:
    """Every server of its file has its address in the environment."""
    variables = environment.services(ports.DEFAULTS, Credentials.kept(tmp_path))
    servers = json.loads((PROJECT / "include" / "gateway" / "api-config.json").read_text())["servers"]
    for server in servers:
        name, program = server["url"].removeprefix("$env."), server["alias"].replace("airflow", "api-server")
        assert variables[name] == f"http://127.0.0.1:{ports.DEFAULTS[program]}"


def test_airflow_believes_the_gateway(tmp_path: Path) -> None:
    """The secret by which the one signs who its clients are is the other's, and tells clients where to look."""
    layout, credentials = Layout(PROJECT, tmp_path, PROJECT / "dags"), Credentials.kept(tmp_path)
    variables = environment.for_processes(layout, ports.DEFAULTS, credentials)
    signing = variables["GATEWAY_IDENTITY_SECRET"]
    assert variables["AIRFLOW__AIRGATE__INGRESS_IDENTITY_SECRETS"] == signing != variables["GATEWAY_JWT_SECRET"]
    assert json.loads(variables["AIRFLOW__AIRGATE__INGRESS_URLS"]) == {"order_fulfillment": "/orders"}
