"""What docs/webhooks.md shows a sender to do is what a real api-server takes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pages import PROJECT, Block, blocks

from airgate.ingress.webhook_settings import OPTIONS, PLAIN_OPTIONS
from tests.edge.edge_process import edge
from tests.ingress.conftest import Ingress, serving
from tests.ingress.webhook_sender import github

pytestmark = pytest.mark.integration

PAGE = PROJECT / "docs" / "webhooks.md"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def on_page(language: str) -> list[Block]:
    """The page's blocks of a language."""
    return [block for block in blocks(language) if block.page == PAGE]


@pytest.fixture(scope="module")
def ingress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    """One with the page's webhooks, over DAGs of the tests."""
    webhooks = json.loads(on_page("json")[0].code)
    webhooks["shop"]["dag"], webhooks["stock"]["asset"] = "anything", "orders_told"
    settings = {
        "AIRFLOW__AIRGATE__INGRESS_WEBHOOKS": json.dumps(webhooks),
        "AIRFLOW__AIRGATE__INGRESS_WEBHOOK_SECRETS": json.dumps({name: [SECRET] for name in webhooks}),
    }
    with serving(tmp_path_factory.mktemp("webhooks"), **settings) as running:
        yield running


def signed(secret: str, body: bytes) -> dict[str, str]:
    """The page's own function."""
    [block] = [block for block in on_page("python") if not block.is_dag]
    names: dict[str, Any] = {}
    exec(compile(block.code, str(block), "exec", dont_inherit=True), names)
    return dict(names["signed"](secret, body))


def taken(ingress: Ingress, told: dict[str, Any]) -> None:
    """Check that a delivery made a run."""
    assert set(told) == {"delivery", "run_id"}, told
    assert ingress.do("run", "anything", told["run_id"])["triggering_user_name"] == "shop (webhook)"


def test_the_python_of_the_page_signs(ingress: Ingress) -> None:
    body = b'{"n": 7}'
    answer = ingress.ask("POST", "/webhooks/shop", who=None, data=body, headers=signed(SECRET, body))
    assert answer.status_code == 202
    taken(ingress, answer.json())


def test_the_shell_of_the_page_signs(ingress: Ingress) -> None:
    if not all(map(shutil.which, ("bash", "curl", "openssl", "od"))):
        pytest.skip("no curl or openssl here")
    [block] = on_page("sh")
    code = block.code.replace('{"order": 7}', '{"n": 7}')
    environment = {**os.environ, "SECRET": SECRET, "GATEWAY": ingress.address, "no_proxy": "*"}
    done = subprocess.run(
        ["bash", "-euc", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    taken(ingress, json.loads(done.stdout))


def test_the_page_has_every_option() -> None:
    """The table names what the settings take, and no more."""
    listed = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE.read_text().split("## How senders sign")[0], re.MULTILINE)
    named = {name.strip("` ") for row in listed for name in row.split(",")}
    assert named == OPTIONS | PLAIN_OPTIONS


def test_the_route_of_the_page_lets_deliveries_through(ingress: Ingress, tmp_path: Path) -> None:
    """A real gateway passes body and headers on as they were signed."""
    [route] = [block for block in on_page("json") if '"paths"' in block.code]
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps({"title": "Webhooks", **json.loads(route.code)}))
    body = '{"n": 7, "name": "Zoë"}'.encode()
    with edge(file, variables={"AIRFLOW_URL": ingress.address}) as port, requests.Session() as session:
        session.trust_env = False
        place = f"http://127.0.0.1:{port}/airgate/v1/webhooks"
        sent = github(body, "guid", secret=SECRET)
        assert session.post(f"{place}/code", timeout=30, **sent).status_code == 503  # no DAG has the asset `pushed`
        sent["data"] += b" "
        assert session.post(f"{place}/code", timeout=30, **sent).status_code == 401
        headers = signed(SECRET, body)
        assert session.post(f"{place}/stock", data=body, headers=headers, timeout=30).status_code == 202
        assert session.post(f"{place}/stock", data=body[1:], headers=headers, timeout=30).status_code == 401
