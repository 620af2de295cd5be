"""The same warehouse in each dialect: a DuckDB file, a SQLite file, a database of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.dialects.postgres import open_postgres
from airgate.data.dialects.sqlite import open_sqlite
from tests.data.dialects.warehouses import Opened
from tests.postgres_server import PostgresServer, postgres_programs, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests."""
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL: scripts/test --install")
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_uri(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    """A database of the test's own."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    with open_postgres(postgres.uri) as warehouse:
        warehouse.query(f"CREATE DATABASE {name} TEMPLATE template0")
    return postgres.uri.rpartition("/")[0] + f"/{name}"


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """The warehouse, in each dialect."""
    if request.param == "duckdb":
        return Opened("duckdb", partial(open_duckdb, str(tmp_path / "w.duckdb")))
    if request.param == "sqlite":
        return Opened("sqlite", partial(open_sqlite, str(tmp_path / "w.sqlite")))
    return Opened("postgres", partial(open_postgres, request.getfixturevalue("postgres_uri")))
