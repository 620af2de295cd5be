"""What a person sees in Airflow's pages while the demo is up."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from stack import marks
from tests.browser.chromium import MARKS, shown, signed_in, text
from tests.running_demo import Demo

pytestmark = MARKS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that has done its work and stays up."""
    home = tmp_path_factory.mktemp("browser") / "home"
    demo = Demo(home, once=False)
    try:
        demo.wait_for('{"state": "success"')
        yield demo
    finally:
        assert demo.interrupt(signal.SIGINT) == 130
        assert marks.marked(home) == []


@pytest.fixture(scope="module")
def browser(demo: Demo) -> Iterator[webdriver.Chrome]:
    """A browser, signed in as a person signs in."""
    with signed_in(demo.address("api-server"), demo.password) as browser:
        yield browser


def test_the_grid_shows_three_green_runs(browser: webdriver.Chrome, demo: Demo, tmp_path: Path) -> None:
    """Every task of every run is there and succeeded; the page has the DAG's title, owner and tags."""
    browser.get(f"{demo.address('api-server')}/dags/flights_etl")
    tasks = ("extract_flights", "extract_weather", "clean", "quality_gate", "load_flights", "report")
    shown(browser, lambda: all(task in text(browser) for task in tasks))
    assert "Flights: extract, transform, load" in text(browser)
    assert "data-platform" in text(browser)

    def squares() -> set[tuple[str, str]]:
        links = browser.find_elements(By.CSS_SELECTOR, "a[href*='/runs/demo__'][href*='/tasks/']")
        found = [re.search(r"/runs/([^/?]+)/tasks/([^/?]+)", link.get_attribute("href") or "") for link in links]
        return {(each[1], each[2]) for each in found if each}

    shown(browser, lambda: len(squares()) == 3 * 11)  # they come one after the other, some of them twice
    assert browser.save_screenshot(str(tmp_path / "grid.png"))


def test_the_form_of_a_gateway_connection_has_its_fields(browser: webdriver.Chrome, demo: Demo) -> None:
    """A connection of type Gateway can be made in the UI: relabelled standard fields, and those of the extra."""
    browser.get(f"{demo.address('api-server')}/connections")

    def press(label: str) -> None:
        shown(browser, lambda: next(b for b in browser.find_elements(By.TAG_NAME, "button") if b.text == label)).click()

    press("Add Connection")
    chooser = shown(browser, lambda: browser.find_element(By.CSS_SELECTOR, "[role=dialog] [role=combobox]"))
    chooser.send_keys("gateway")
    shown(browser, lambda: browser.find_element(By.CSS_SELECTOR, "[role=option]"))
    chooser.send_keys(Keys.ENTER)
    shown(browser, lambda: "User, subject, client id or access key" in text(browser))
    press("Extra Fields")
    shown(browser, lambda: "JWT audience" in text(browser))
    assert "Password, token, key or client secret" in text(browser) or "Standard Fields" in text(browser)
    for label in ("Auth type", "JWT issuer", "Attempts", "Longest inline wait", "Verify TLS"):
        assert label in text(browser)


def test_the_connection_test_reaches_the_gateway(demo: Demo) -> None:
    """The button behind a connection asks the gateway for its health path, through Airflow's own API."""
    edge = demo.address("edge")
    port = int(edge.rpartition(":")[2])
    body = {
        "connection_id": "by_hand",
        "conn_type": "gateway",
        "host": "127.0.0.1",
        "schema": "http",
        "port": port,
        "extra": json.dumps({"health_path": "/health", "auth": None}),
    }
    api = demo.address("api-server")
    signed_in = requests.post(f"{api}/auth/token", json={"username": "admin", "password": demo.password}, timeout=30)
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    told = requests.post(f"{api}/api/v2/connections/test", json=body, headers=headers, timeout=60).json()
    assert told == {"status": True, "message": f"{edge}/health answered 200"}
