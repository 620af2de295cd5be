"""What a DAG file pays for at each parse."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    *("aiohttp", "botocore", "duckdb", "jmespath", "jsonschema", "openapi_schema_validator", "opentelemetry.sdk"),
    *("pandas", "pyarrow", "redis", "starlette", "uvicorn", "yaml"),
}
"""Packages that only a running task needs."""

PROGRAM = """
import sys
import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, RetryPolicy
before = set(sys.modules)
from airgate.operators import GatewayOperator
print(*sorted(set(sys.modules) - before))
"""


def test_importing_the_operator_brings_nothing_heavy() -> None:
    """Beyond what airflow.sdk has loaded, importing GatewayOperator adds no package that parsing can spare."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    added = set(done.stdout.splitlines()[-1].split())
    assert "airgate.operators.gateway" in added
    assert added & HEAVY == set()
