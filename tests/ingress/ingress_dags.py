"""DAGs that clients may start, and some that they may not."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, Param, result, task

from airgate.hooks import Call
from airgate.sagas import Saga

INGRESS = "airgate:ingress"
ADDRESS = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 1}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
    "required": ["city", "zip"],
    "additionalProperties": False,
}

with DAG(
    "orders",
    schedule=None,
    tags=[INGRESS],
    doc_md="Fulfils an order.",
    params={
        "item": Param(type="string", enum=["book", "pen"], description="What is bought."),
        "count": Param(1, type="integer", minimum=1, maximum=10),
        "address": Param({"city": "Bonn", "zip": "53111"}, **ADDRESS),
        "note": Param(None, type=["null", "string"], maxLength=20),
    },
):

    @task
    def pick() -> int:
        return 1

    @result
    @task
    def told(picked: int) -> dict[str, int]:
        return {"picked": picked}

    told(pick())

with DAG("anything", schedule=None, tags=[INGRESS, "airgate:ingress-any"], params={"n": Param(1, type="integer")}):
    EmptyOperator(task_id="only")

with DAG("closed", schedule=None, tags=["airgate"], params={"n": Param(1, type="integer")}):
    EmptyOperator(task_id="only")

with DAG("reserved", schedule=None, tags=[INGRESS], params={"airgate": Param(1, type="integer")}):
    EmptyOperator(task_id="only")

with DAG("shipping", schedule=None, tags=[INGRESS]), Saga("sale") as saga:
    saga.step("charge", Call("POST", "/charges"), undo=Call("DELETE", "/charges"))
    saga.step("ship", Call("POST", "/shipments"), pivot=True)
    saga.step("tell", Call("POST", "/notices"), retriable=True)

with DAG("reacting", schedule=[Asset("orders_told")], tags=["airgate"]):
    EmptyOperator(task_id="only")
