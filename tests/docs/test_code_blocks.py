"""Every code block of the documentation does what the page says it does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType, ModuleType

import duckdb
import pytest
from pages import PROJECT, Block, blocks

PYTHON = blocks("python")
RUNS = [block for block in PYTHON if "no-run" not in block.options]

DAGS = [block for block in RUNS if block.is_dag]

RUN_ALL = """
import json, os, pathlib, traceback
from airflow.utils.db import initdb
from airflow.dag_processing.dagbag import DagBag

initdb()
bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
came = {pathlib.Path(file).name: error for file, error in bag.import_errors.items()}
for dag in bag.dags.values():
    try:
        came[pathlib.Path(dag.fileloc).name] = str(dag.test().state)
    except Exception:
        came[pathlib.Path(dag.fileloc).name] = traceback.format_exc()
print("came: " + json.dumps(came))
"""


def compiled(block: Block) -> CodeType:
    """The block's code; errors name the page and its line. This module's own `__future__` imports are kept out."""
    return compile("\n" * (block.line - 1) + block.code, str(block.page), "exec", dont_inherit=True)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block: Block) -> None:
    """No block has a syntax error, runnable or not."""
    assert compiled(block)


@pytest.mark.parametrize("block", [block for block in RUNS if not block.is_dag], ids=str)
def test_python_runs(block: Block, live: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A block runs by itself, in a fresh namespace, against the real gateway."""
    for name, value in live.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    module = ModuleType("block_of_the_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look for the module of a class
    exec(compiled(block), vars(module))


def file_name(block: Block) -> str:
    """The DAG file that a block becomes."""
    return f"{block.page.stem}_{block.line}.py"


@pytest.fixture(scope="module")
def dag_runs(live: dict[str, str]) -> dict[str, str]:
    """All DAG blocks, each as a file in one dags folder, run one after another: file name -> how the run ended."""
    folder = Path(live["AIRFLOW__CORE__DAGS_FOLDER"])
    folder.mkdir(parents=True)
    for block in DAGS:
        (folder / file_name(block)).write_text(block.code)
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL], env=os.environ | live, capture_output=True, text=True, timeout=300, check=False
    )
    found = re.search(r"^came: (.+)$", done.stdout, re.MULTILINE)
    assert found, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return {**json.loads(found[1]), "log": done.stdout[-6000:]}


@pytest.mark.parametrize("block", DAGS, ids=str)
def test_dag_runs(block: Block, dag_runs: dict[str, str]) -> None:
    """A DAG block is a DAG file: Airflow parses it and runs it to a good end against the real gateway."""
    assert dag_runs.get(file_name(block)) == "success", dag_runs["log"]


def test_the_readme_dag_loads_rows(dag_runs: dict[str, str], live: dict[str, str]) -> None:
    """The README's example really fills a table: every flight of the day that left more than an hour late."""
    assert dag_runs
    with duckdb.connect(json.loads(live["AIRFLOW_CONN_WAREHOUSE_DEFAULT"])["host"], read_only=True) as warehouse:
        [(rows, least)] = warehouse.execute("select count(*), min(dep_delay) from late").fetchall()
    assert rows > 10
    assert least > 60


def test_few_blocks_are_not_run() -> None:
    """`no-run` stays an exception: only for code that cannot run here."""
    assert RUNS
    assert len(PYTHON) - len(RUNS) <= 3


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    """A JSON block parses, and a connection in one is a connection that airgate accepts."""
    from airgate.client.configure import gateway_from_fields

    value = json.loads(block.code)
    if isinstance(value, dict) and value.get("conn_type") == "gateway":
        names = {"host": "host", "port": "port", "schema": "scheme", "login": "login", "password": "password"}
        fields = {names[name]: value[name] for name in names if name in value}
        gateway_from_fields(**fields, extra=value.get("extra"))


@pytest.mark.parametrize("block", [*blocks("sh"), *blocks("console")], ids=str)
def test_shell_names_real_things(block: Block) -> None:
    """Every script and folder of this project that a command names is there."""
    for path in re.findall(r"(?<![\w./-])((?:scripts|include|plugins|dags|docs|tests)/[\w./-]*\w)", block.code):
        assert (PROJECT / path).exists(), path
