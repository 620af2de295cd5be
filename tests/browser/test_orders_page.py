"""A page in a real browser orders through the gateway of another origin: one whose origin is listed may, others not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from stack import marks
from tests.browser.chromium import MARKS, opened, shown, text
from tests.integration.ordering import ORDER, OrderStack, order_stack

pytestmark = MARKS

PAGE = """<!doctype html>
<title>Shop</title>
<button>Order</button>
<pre></pre>
<script>
  const say = (line) => { document.querySelector("pre").textContent += line + "\\n"; };
  document.querySelector("button").onclick = async () => {
    const { gateway, token, key, order } = await (await fetch("order.json")).json();
    const headers = { Authorization: `Bearer ${token}` };
    try {
      const answer = await fetch(`${gateway}/orders`, {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/json", "Idempotency-Key": key },
        body: JSON.stringify(order),
      });
      say(`answered ${answer.status}`);
      const place = answer.headers.get("Location");
      say(`follow ${place} in ${answer.headers.get("Retry-After")} s`);
      let standing;
      do {
        const look = await fetch(gateway + place, { headers: { ...headers, Prefer: "wait=20" } });
        standing = await look.json();
      } while (!["success", "failed"].includes(standing.state));
      say(`ended as ${standing.state}: ${standing.result.tracking}`);
    } catch (error) {
      say(`refused: ${error.name}`);
    }
  };
</script>
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderStack]:
    """A stack that takes orders."""
    home = tmp_path_factory.mktemp("page") / "home"
    with order_stack(home) as running:
        yield running
    assert marks.marked(home) == []


@pytest.fixture
def port(orders: OrderStack, tmp_path: Path) -> Iterator[int]:
    """Where the page is served, under every name of this machine: each is an origin of its own."""
    client = orders.client("browser")
    order = {"gateway": client.gateway, "token": client.token, "key": tmp_path.name, "order": ORDER}
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "order.json").write_text(json.dumps(order))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    """A browser in which nobody has signed in to anything."""
    with opened() as browser:
        yield browser


def ordered(browser: webdriver.Chrome, address: str) -> None:
    """Open the page and press its button."""
    browser.get(address)
    browser.find_element(By.TAG_NAME, "button").click()


def test_a_page_of_an_allowed_origin_orders_and_shows_the_result(
    browser: webdriver.Chrome, port: int, orders: OrderStack
) -> None:
    """It may send its token and key, and read where to follow its order."""
    ordered(browser, f"http://localhost:{port}/")
    shown(browser, lambda: "ended as success: AG" in text(browser))
    assert "answered 202" in text(browser)
    [run] = orders.client("browser").ask("GET", "/orders").json()["runs"]
    assert f"follow /orders/{run['id']} in 1 s" in text(browser)


def test_a_page_of_another_origin_is_refused_by_the_browser(
    browser: webdriver.Chrome, port: int, orders: OrderStack
) -> None:
    """The same page from an origin that is not listed: its request is never sent, and nothing is ordered."""
    before = orders.client("browser").ask("GET", "/orders").json()["runs"]
    ordered(browser, f"http://127.0.0.1:{port}/")
    shown(browser, lambda: "refused: TypeError" in text(browser))
    assert "answered" not in text(browser)
    assert orders.client("browser").ask("GET", "/orders").json()["runs"] == before
