"""What an order is, the gateway and the DAG know from one schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = json.loads((PROJECT / "include" / "gateway" / "schemas" / "order.json").read_text())


def test_the_dag_has_a_param_for_each_field_of_an_order(dag_bag: DagBag) -> None:
    """With the very schema by which the gateway checks it: no order passes there and fails here."""
    params = dag_bag.dags["order_fulfillment"].params
    assert set(params) == set(SCHEMA["properties"])
    for name, schema in SCHEMA["properties"].items():
        param = params.get_param(name)
        assert {**param.schema, "description": param.description} == schema


def test_clients_may_start_the_one_and_not_the_batch(dag_bag: DagBag) -> None:
    assert "airgate:ingress" in dag_bag.dags["order_fulfillment"].tags
    assert "airgate:ingress" not in dag_bag.dags["order_batch"].tags


@pytest.mark.parametrize("place", range(3))
def test_the_orders_of_the_night_are_orders(place: int) -> None:
    """As a client would send them."""
    from jsonschema import Draft202012Validator

    order = json.loads((PROJECT / "include" / "orders" / "night.json").read_text())[place]
    assert list(Draft202012Validator(SCHEMA).iter_errors(order)) == []
