"""The wheel in a clean environment: Airflow knows the provider, its connection type, decorator, option and plugin."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from clean_environment import CleanEnvironment

from airgate.client.fields import FIELDS

pytestmark = pytest.mark.packaging

TOKEN = "a-token-of-the-packaging-test"

PROVIDER = """
import jsonschema, pathlib, airflow
from airflow.providers_manager import ProvidersManager
from airgate.provider import get_provider_info

schema = json.loads((pathlib.Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
manager = ProvidersManager()
hook = manager.hooks["gateway"]
prefix = "extra__gateway__"
answer({
    "misfits": [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(get_provider_info())],
    "provider": [name for name in manager.providers if name == "airgate"],
    "hook": [hook.hook_class_name, hook.hook_name, hook.connection_testable],
    "fields": [name.removeprefix(prefix) for name in manager.connection_form_widgets if name.startswith(prefix)],
    "required": [
        name.removeprefix(prefix)
        for name, widget in manager.connection_form_widgets.items()
        if name.startswith(prefix) and "null" not in widget.field["schema"]["type"]
    ],
    "relabeled": manager.field_behaviours["gateway"]["relabeling"],
    "decorators": [name for name, _ in manager.taskflow_decorators.items() if name in ("dataframe", "gateway")],
    "options": list(dict(manager.provider_configs)["airgate"]["airgate"]["options"]),
})
"""

PUBLIC = """
import importlib
rooms = ["operators", "sensors", "hooks", "decorators", "errors", "pagination", "edge", "testing"]
modules = [importlib.import_module(f"airgate.{room}") for room in rooms]
missing = [
    f"{module.__name__}.{name}"
    for module in modules
    for name in getattr(module, "__all__", ())
    if not hasattr(module, name)
]
from airflow.sdk import task
answer({"missing": missing, "dataframe": callable(task.dataframe), "at": modules[0].__file__})
"""


class Gateway(BaseHTTPRequestHandler):
    """Says `{"status": "ok"}` at /health to whoever brings the token."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        status = 401 if not known else 200 if self.path == "/health" else 404
        body = json.dumps({"status": "ok", "you sent": self.headers.get("Authorization")}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def gateway_port() -> Iterator[int]:
    """A real HTTP server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def test_airflow_lists_the_provider_and_the_plugin_once(installed: CleanEnvironment) -> None:
    """`airflow providers list` and `airflow plugins` each name airgate exactly once."""
    providers = json.loads(installed.airflow("providers", "list", "--output", "json"))
    assert [entry["version"] for entry in providers if entry["package_name"] == "airgate"] == ["0.1.0"]
    plugins = json.loads(installed.airflow("plugins", "--output", "json"))
    assert [entry["source"].split(":")[0] for entry in plugins if entry["name"] == "airgate"] == ["airgate==0.1.0"]


def test_provider_metadata_gives_form_decorator_and_option(installed: CleanEnvironment) -> None:
    """The provider's description fits Airflow's schema, and Airflow draws from it what the form and DAGs need."""
    found = installed.ask(PROVIDER)
    assert found["misfits"] == []
    assert found["provider"] == ["airgate"]
    assert found["hook"] == ["airgate.hooks.gateway.GatewayHook", "Gateway", True]
    assert found["fields"] == list(FIELDS)
    assert found["required"] == [], "the form would insist on fields that have a default"
    assert found["relabeled"]["password"] == "Password, token, key or client secret"
    assert found["decorators"] == ["dataframe", "gateway"]
    callbacks = {"callback_url", "callback_secrets", "callback_lifetime"}
    ways_in = {
        f"ingress_{name}"
        for name in (
            *("issuer", "audience", "jwks", "algorithms", "claim", "leeway", "identity_secrets"),
            *("key_required", "rate", "longest_wait", "most_waiting", "urls"),
            *("webhooks", "webhook_secrets"),
        )
    }
    assert set(found["options"]) == {"data_root", "limits_store"} | callbacks | ways_in


def test_public_names_import_from_the_wheel(installed: CleanEnvironment) -> None:
    """What a DAG file imports comes out of the installed package, with the dependencies that the wheel names."""
    found = installed.ask(PUBLIC)
    assert found["missing"] == []
    assert found["dataframe"] is True
    assert found["at"].startswith(str(installed.root / "venv"))


@pytest.mark.parametrize(
    ("health_path", "exits", "said"),
    [("/health", 0, "Connection success!"), ("/nowhere", 1, "/nowhere: answered 404 Not Found")],
)
def test_airflow_tests_the_connection(
    installed: CleanEnvironment, gateway_port: int, health_path: str, exits: int, said: str
) -> None:
    """`airflow connections test` asks the real server, says what came, and shows no secret that the answer repeats."""
    connection = {
        "conn_type": "gateway",
        "schema": "http",
        "host": "127.0.0.1",
        "port": gateway_port,
        "password": TOKEN,
        "extra": {"auth": "bearer", "health_path": health_path},
    }
    output = installed.airflow(
        *("connections", "test", "gateway_default"),
        exits=exits,
        AIRFLOW_CONN_GATEWAY_DEFAULT=json.dumps(connection),
        AIRFLOW__CORE__TEST_CONNECTION="Enabled",
    )
    assert said in output
    assert TOKEN not in output
