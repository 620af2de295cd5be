"""The hybrid order: who publishes, who listens, and what is told of a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

ORDER: dict[str, Any] = {
    "id": "A-1",
    "customer": {"name": "Ada", "email": "ada@example.com"},
    "items": [{"sku": "eye-mask", "quantity": 2}, {"sku": "ear-plugs", "quantity": 1}],
    "address": {"street": "1 Quay", "city": "Delft", "postcode": "2611", "country": "NL"},
    "card": "tok_canary",
}


@pytest.fixture(scope="module")
def hybrid(dag_bag: DagBag) -> ModuleType:
    """The file, as Airflow has loaded it."""
    import sys

    [module] = [
        each for each in list(sys.modules.values())
        if getattr(each, "__file__", None) == dag_bag.dags["order_hybrid"].fileloc
    ]  # fmt: skip
    return module


def listening_to(dag: DAG) -> list[str]:
    return [asset.name for asset in dag.schedule]


def test_the_saga_publishes_and_knows_nobody_who_listens(dag_bag: DagBag) -> None:
    """Charge, its undo, and the pivot; no task of it names another DAG."""
    dag = dag_bag.dags["order_hybrid"]
    published = {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets}
    assert published == {
        "fulfillment.charge": ["order-events"],
        "fulfillment.undo_charge": ["order-events"],
        "fulfillment.ship": ["order-events"],
    }


@pytest.mark.parametrize("dag_id", ["order_dispatcher", "order_analytics"])
def test_listeners_listen_to_the_asset_alone(dag_bag: DagBag, dag_id: str) -> None:
    """One run at a time: both read the same log on."""
    dag = dag_bag.dags[dag_id]
    assert listening_to(dag) == ["order-events"]
    assert dag.max_active_runs == 1


def test_what_cannot_be_taken_back_is_handed_on(dag_bag: DagBag) -> None:
    """Only that, to a DAG that is there."""
    to = dag_bag.dags["order_dispatcher"].get_task("dispatch").to
    assert to == {"order.shipped": "loyalty", "*": None}
    assert "loyalty" in dag_bag.dags


def test_the_forms_are_those_of_the_order(dag_bag: DagBag) -> None:
    """Whatever is an order for one DAG is one for the other."""
    hybrid, plain = dag_bag.dags["order_hybrid"].params, dag_bag.dags["order_fulfillment"].params
    assert {name: hybrid.get_param(name).schema for name in hybrid} == {
        name: plain.get_param(name).schema for name in plain
    }


def test_no_card_and_no_address_is_told(hybrid: ModuleType) -> None:
    """Listeners learn what they need: the amount, or whom to give points for how many items."""
    charge = {"id": "charge-1", "amount": 5330, "currency": "EUR", "state": "captured", "key": "k"}
    told = [
        hybrid.charged(charge, ORDER),
        hybrid.refunded({**charge, "state": "refunded"}, ORDER),
        hybrid.shipped({"id": "shipment-1", "tracking": "AG1"}, ORDER),
    ]
    assert {each["subject"] for each in told} == {"A-1"}
    assert [each["type"] for each in told] == ["order.charged", "order.refunded", "order.shipped"]
    assert [each["data"] for each in told] == [
        {"amount": 5330, "currency": "EUR"},
        {"amount": 5330},
        {"customer": "ada@example.com", "items": 3, "tracking": "AG1"},
    ]
    assert hybrid.refunded({"key": "k", "state": "cancelled"}, ORDER)["data"] == {"amount": 0}, "it never arrived"


def test_an_overview_is_one_task(dag_bag: DagBag) -> None:
    """Whose result is the run's, so that whoever asked by the way in gets it."""
    [task] = dag_bag.dags["status_overview"].tasks
    assert task.returns_dag_result
