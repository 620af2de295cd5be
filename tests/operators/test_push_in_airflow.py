"""Frames pushed in a real Airflow: through XCom, templates, mapping and the task state store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.push_service import PushService
from tests.operators.pushes import service_of_a_test  # noqa: F401, fixture

DAGS = Path(__file__).parent / "push_dags"

RUN = """
import json, os
from airflow.utils.db import initdb
initdb()
from airflow.dag_processing.dagbag import DagBag
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.utils.session import create_session
from sqlalchemy import select

bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
assert not bag.import_errors, bag.import_errors
run = bag.dags["contacts"].test()
with create_session() as session:
    rendered = [
        [fields.task_id, fields.rendered_fields.get("data")]
        for fields in session.scalars(select(RenderedTaskInstanceFields))
    ]
print("came: " + json.dumps({"state": str(run.state), "rendered": rendered}))
"""


def test_frames_travel_from_task_to_service(service: PushService, tmp_path: Path) -> None:
    """As users write it: a task returns a frame, the operator is given it; and no page of Airflow shows a record."""
    gateway = {"conn_type": "gateway", "host": f"http://127.0.0.1:{service.port}"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__AIRGATE__DATA_ROOT": f"file://{tmp_path}/data",
        "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
        "CONTACTS_REPORT": str(tmp_path / "report"),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    last = [line for line in done.stdout.splitlines() if line.startswith("came: ")]
    assert last, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    came = json.loads(last[0].removeprefix("came: "))
    assert came["state"] == "success", done.stdout[-8000:]

    reports = json.loads((tmp_path / "report").read_text())
    assert [report["pushed"] for report in reports] == [5, 10, 5]
    twice, once = [*range(200, 205), *range(300, 305)], [*range(100, 105), *range(500, 505)]
    assert service.effects == {str(number): 2 if number in twice else 1 for number in [*twice, *once]}

    assert "example.com" not in json.dumps(came["rendered"])
    assert ["one", "<DataFrame of 5 rows and 2 columns>"] in came["rendered"]
