"""One connection, however it is written down."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from airflow.sdk import Connection

from airgate.client.configure import gateway_from_fields
from airgate.client.gateway import Gateway
from airgate.hooks import GatewayHook

PAGE = Path(__file__).resolve().parents[2] / "docs" / "connection.md"


def gateway_of(text: str, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """What a hook makes of a connection that Airflow reads from the environment."""
    monkeypatch.setenv("AIRFLOW_CONN_FORM", text)
    return GatewayHook("form").gateway


def same(one: Gateway, other: Gateway) -> bool:
    return (repr(one), one.secrets) == (repr(other), other.secrets)


def test_the_forms_of_the_documentation_are_the_same_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON in the environment, the URI, the command line's JSON and the document describe one gateway."""
    page = PAGE.read_text()
    exports = re.findall(r"^export AIRFLOW_CONN_GATEWAY_DEFAULT='(.+)'$", page, re.MULTILINE)
    [added] = re.findall(r"--conn-json '(.+)'$", page, re.MULTILINE)
    document = re.search(r"```json\n(.+?)```", page, re.DOTALL)
    assert document
    assert sorted(text[0] for text in exports) == ["g", "{"]
    gateways = [gateway_of(text, monkeypatch) for text in (*exports, added, json.dumps(json.loads(document[1])))]
    assert gateways[0].base_url == "https://api.example.com/v1"
    assert gateways[0].headers == {"X-Tenant": "north"}
    assert gateways[0].retry.deadline == 120
    assert "p@ss/word" in gateways[0].secrets
    assert all(same(gateway, gateways[0]) for gateway in gateways)


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        ("gateway://api.example.com", "https://api.example.com"),
        ("gateway://api.example.com:8443/http", "http://api.example.com:8443"),
        ("gateway://http://api.example.com", "http://api.example.com"),
    ],
)
def test_a_short_uri_is_enough(uri: str, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, port and scheme, as Airflow reads them for every connection."""
    assert gateway_of(uri, monkeypatch).base_url == base_url


def test_every_kind_of_field_survives_the_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, choices and objects arrive as texts and are read as what they are."""
    extra = {
        "auth": "oauth2",
        "oauth_url": "https://id.example.com/token?tenant=a&b=c",
        "oauth_scopes": "a b",
        "attempts": 3,
        "verify": "false",
        "limits": {"rate": "10/s", "routes": {"/orders": {"concurrency": 1}}},
    }
    texts = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in extra.items()}
    uri = f"gateway://me:{quote('s/e:c@r?t', safe='')}@api.example.com/https?{urlencode(texts)}"
    direct = gateway_from_fields(host="api.example.com", login="me", password="s/e:c@r?t", extra=extra)
    assert same(gateway_of(uri, monkeypatch), direct)


def test_airflow_writes_a_uri_that_reads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """`airflow connections export` and get_uri give a connection that is still the same."""
    extra = {"auth": "bearer", "headers": {"X-Tenant": "north & south"}, "deadline": 7.5}
    connection = Connection(
        conn_id="form", conn_type="gateway", host="api.example.com", password="p/w", extra=json.dumps(extra)
    )
    direct = gateway_from_fields(host="api.example.com", password="p/w", extra=extra)
    assert same(gateway_of(connection.get_uri(), monkeypatch), direct)
