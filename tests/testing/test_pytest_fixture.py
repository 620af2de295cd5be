"""The fixture and dag.test(), as a user's own test run has them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"

MORE_TESTS = """

def test_a_long_wait(dags, fake_gateway):
    fake_gateway.on("GET", "/weather", rate_limited(600), {"total": 24})
    began = fake_gateway.time.now()
    assert dags["weather_report"].test().state == "success"
    assert fake_gateway.time.now() - began >= 600



def test_unexpected(dags, fake_gateway):
    fake_gateway.on("GET", "/whether", {})
    dags["weather_report"].test()
"""


def files_of_the_page() -> dict[str, str]:
    """The blocks that say in their first line which file they are."""
    return dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def user_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's project: the page's DAG, its conftest and its test, and more tests."""
    project = tmp_path_factory.mktemp("user")
    files = files_of_the_page()
    files["tests/test_weather.py"] += MORE_TESTS
    # Imported before pytest loads it as a plugin, which must not warn.
    files["tests/conftest.py"] = "import airgate.testing\n" + files["tests/conftest.py"]
    for name, text in files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    return project


def test_a_dag_runs_under_the_fixture(user_project: Path) -> None:
    """The page's own test passes, retries and deferrals are instant, and what was not scripted fails a test.

    The task has three retries with Airflow's delay of five minutes: an unexpected request must not use them.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(user_project / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(user_project / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-W", "error::pytest.PytestAssertRewriteWarning", "tests"],
        cwd=user_project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    said = done.stdout
    assert re.search(r"^PASSED tests/test_weather.py::test_the_report", said, re.MULTILINE), said
    assert re.search(r"^PASSED tests/test_weather.py::test_a_long_wait", said, re.MULTILINE), said
    assert re.search(r"^ERROR tests/test_weather.py::test_unexpected", said, re.MULTILINE), said
    assert "GET /whether: 0 of 1 answers used" in said
