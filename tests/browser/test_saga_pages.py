"""What a person sees in Airflow's pages of an order that was taken back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from stack import marks
from stack.credentials import Credentials
from tests.browser.chromium import MARKS, shown, signed_in, text
from tests.integration.example_stack import ExampleStack, Run, example_stack

pytestmark = MARKS

DAG = "order_fulfillment"
NOWHERE = {"address": {"street": "1 Main Street", "city": "Newark", "postcode": "07102", "country": "XX"}}
"""The shop does not deliver there, and says so when all else is done."""

COMPENSATED = {
    "journal": "success",
    "begin": "success",
    "reserve": "success",
    "charge": "success",
    "ship": "failed",
    "notify": "upstream_failed",
    "decide": "success",
    "undo_charge": "success",
    "undo_reserve": "success",
    "verdict": "failed",
}
"""In the order in which they stand."""


@dataclass(frozen=True)
class Node:
    """A task in the graph."""

    name: str
    kind: str
    state: str
    top: float


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For all that the stack writes."""
    home = tmp_path_factory.mktemp("saga") / "home"
    home.mkdir()
    return home


@pytest.fixture(scope="module")
def stack(home: Path) -> Iterator[ExampleStack]:
    """Airflow, the gateway, and the shop's services behind it."""
    with example_stack(home, (DAG,), ("inventory", "payments", "shipping")) as stack:
        yield stack
    assert marks.marked(home) == []


@pytest.fixture(scope="module")
def order(stack: ExampleStack) -> Run:
    """An order that could not be shipped."""
    run = stack.start(DAG, "no-delivery", NOWHERE)
    assert run.ended() == "failed", run.told()
    return run


@pytest.fixture(scope="module")
def browser(home: Path, stack: ExampleStack, order: Run) -> Iterator[webdriver.Chrome]:
    """A browser that shows runs as graphs, from top to bottom, and the saga opened."""
    settings = {"default_dag_view": "graph", f"{DAG}/open-groups": ["fulfillment"], f"direction-{DAG}": "DOWN"}
    with signed_in(stack.airflow.address, Credentials.kept(home).admin_password) as browser:
        browser.set_window_size(1700, 1250)
        for name, value in settings.items():
            browser.execute_script("localStorage.setItem(arguments[0], arguments[1])", name, json.dumps(value))
        yield browser


def graph(browser: webdriver.Chrome, stack: ExampleStack, order: Run) -> dict[str, Node]:
    """The saga's tasks in the graph of an order's page, by name."""
    browser.get(f"{stack.airflow.address}/dags/{DAG}/runs/{order.run_id}")

    def tasks() -> dict[str, Node] | None:
        found = {}
        for element in browser.find_elements(By.CSS_SELECTOR, ".react-flow__node[data-id^='fulfillment.']"):
            name, kind, state = element.text.splitlines()
            found[name] = Node(name, kind, state, element.rect["y"])
        return found if found.keys() == COMPENSATED.keys() else None

    found: dict[str, Node] = shown(browser, tasks)
    return found


def picture(browser: webdriver.Chrome, path: Path) -> None:
    """Save the graph alone, as docs/images has it: all of its nodes, and a margin."""
    nodes = browser.find_elements(By.CSS_SELECTOR, ".react-flow__node")
    boxes = browser.execute_script("return arguments[0].map((node) => node.getBoundingClientRect().toJSON())", nodes)
    left, top = min(box["left"] for box in boxes) - 24, min(box["top"] for box in boxes) - 16
    right, bottom = max(box["right"] for box in boxes) + 24, max(box["bottom"] for box in boxes) + 16
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top, "scale": 1.25}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})
    path.write_bytes(base64.b64decode(taken["data"]))


def test_the_graph_tells_what_was_taken_back(
    browser: webdriver.Chrome, stack: ExampleStack, order: Run, tmp_path: Path
) -> None:
    """Which step failed, that those before it were undone, that those behind it were not reached; it is red."""
    nodes = graph(browser, stack, order)
    assert {node.name: node.state for node in nodes.values()} == COMPENSATED
    picture(browser, tmp_path / "saga-compensated.png")
    assert browser.save_screenshot(str(tmp_path / "page.png"))


def test_the_graph_reads_from_top_to_bottom(browser: webdriver.Chrome, stack: ExampleStack, order: Run) -> None:
    """Steps in their order, the decision behind them, the undos in reverse order, and the verdict at the end."""
    nodes = graph(browser, stack, order)
    assert sorted(nodes, key=lambda name: nodes[name].top) == list(COMPENSATED)


def test_the_graph_says_what_each_task_is_for(browser: webdriver.Chrome, stack: ExampleStack, order: Run) -> None:
    """In words of sagas; the pivot, and what only goes forward behind it, are marked."""
    nodes = graph(browser, stack, order)
    assert {node.name: node.kind for node in nodes.values()} == {
        "journal": "EmptyOperator",
        "begin": "saga begin",
        "reserve": "saga step",
        "charge": "saga step",
        "ship": "saga step (pivot)",
        "notify": "saga step (only forward)",
        "decide": "saga decision",
        "undo_charge": "saga undo",
        "undo_reserve": "saga undo",
        "verdict": "saga verdict",
    }


def test_the_page_of_the_verdict_tells_the_whole_story(
    browser: webdriver.Chrome, stack: ExampleStack, order: Run
) -> None:
    """Its log says how the order ended and why, and names every step with its state and key."""
    browser.get(f"{stack.airflow.address}/dags/{DAG}/runs/{order.run_id}/tasks/fulfillment.verdict")
    shown(browser, lambda: "saga fulfillment was compensated, nothing of it is left" in text(browser))
    assert "the service does not deliver there: XX" in text(browser)
    view = stack.airflow.xcom(DAG, order.run_id, "fulfillment.verdict", "saga")
    assert [step["state"] for step in view["steps"]] == ["undone", "undone", "refused", "not sent"]
    for step in view["steps"]:
        assert f"{step['name']}: {step['state']}" in text(browser)
        assert (step["key"] or "") in text(browser)
