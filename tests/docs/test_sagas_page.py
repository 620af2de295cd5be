"""docs/sagas.md: its first saga ends as the page says, also with a declined card, and its tables are the code's."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from pages import PROJECT, blocks

from airgate.policy.saga.verdict import StepView, View
from airgate.sagas.options import SagaOptions
from airgate.sagas.saga import SagaSteps

PAGE = PROJECT / "docs" / "sagas.md"
RUN = """
import sys
from airflow.utils.db import initdb
from airflow.dag_processing.dagbag import DagBag

initdb()
dag = DagBag(sys.argv[1]).dags["small_order"]
for card in sys.argv[2:]:
    dag.test(run_conf={"card": card})
"""


def told(text: str) -> list[str]:
    """What the lines of a verdict say, without what differs from run to run: keys, times, the service's words."""
    found = []
    for line in re.findall(r"(?:saga shop, epoch .*|  (?:reserve|charge|ship|notify): .*)", text):
        times = re.findall(r'"(\w+_at)": [\d.]+', line)
        said = re.match(r"\s*([\w ]+, epoch \d+: \w+|[a-z]+: (?:done|undone|refused|not sent))", line)
        assert said, line
        found.append(" ".join([said[1], *(["key"] if re.search(r", key [0-9a-f]{32}", line) else []), *times]))
    return found


def test_the_verdicts_say_what_the_page_shows(live: dict[str, str], tmp_path: Path) -> None:
    """Of the good order and of the declined one, line by line: state, key, and which times there are."""
    [example] = [block.code for block in blocks("python") if block.page == PAGE and '"small_order"' in block.code]
    file = tmp_path / "small_order.py"
    file.write_text(example)
    own = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(file), "tok_visa", "tok_declined"],
        env=os.environ | live | own,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    shown = told("".join(block.code for block in blocks("text") if block.page == PAGE))
    assert len(shown) == 10
    assert told(done.stdout) == shown, f"{done.stdout[-4000:]}\n{done.stderr[-3000:]}"


def first_cells(part: str) -> set[str]:
    """The names in the first column of the page's tables behind a heading, up to the next one."""
    section = PAGE.read_text().partition(part)[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_argument_of_a_step_is_explained() -> None:
    """None is missing, and none is there that the code does not know."""
    arguments = set(inspect.signature(SagaSteps.step).parameters) - {"self", "options"}
    assert first_cells("## The steps") == arguments


def test_every_option_of_a_saga_is_explained() -> None:
    """None is missing, and none is there that the code does not know."""
    assert first_cells("## The saga") == {field.name for field in dataclasses.fields(SagaOptions)}


def test_every_field_of_the_verdict_is_explained() -> None:
    """Those of the whole and those of a step."""
    fields = {field.name for each in (View, StepView) for field in dataclasses.fields(each)}
    assert {"saga", "map_index", *fields} <= set(re.findall(r"`(\w+)`", PAGE.read_text()))


def test_the_shown_json_of_a_form_is_one() -> None:
    """The conf that a reader types in."""
    [conf] = re.findall(r"--conf '(.+)'", PAGE.read_text())
    assert json.loads(conf) == {"card": "tok_declined"}
