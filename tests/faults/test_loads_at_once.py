"""Two real processes load one table at once, in every engine and mode: as if one load had come after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from airgate.data.loads.load import Mode
from tests.faults.loading_at_once import ENGINES, LOADS, ROWS, WRITERS, Rush, expected, run
from tests.postgres_server import postgres_programs, postgres_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server for all."""
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL: scripts/test --install")
    with postgres_server() as server:
        yield server.uri


@pytest.mark.faults
@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("engine", ENGINES)
def test_loads_at_once_lose_and_double_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, mode: Mode
) -> None:
    """Rows, ledger and cursor are those of some order of the loads, the ledger's; keys that overlap are there once."""
    place = request.getfixturevalue("postgres") if engine.endswith("postgres") else str(tmp_path / "warehouse")
    found = run(Rush(engine, mode, sorted(ENGINES).index(engine) * 10 + get_args(Mode).index(mode)), place)
    assert found["exact"], found


def test_the_expectation_tells_the_modes_apart() -> None:
    """Appends add up, merges overlap by half of their keys, and the last one replaces all."""
    order = [f"rush1-{writer}-{number}" for number in range(LOADS) for writer in range(WRITERS)]
    total = WRITERS * LOADS
    assert expected(Rush("x", "append", 1), order).total() == total * ROWS
    assert expected(Rush("x", "merge", 1), order).total() == (total + 1) * ROWS // 2
    assert {v for _, v in expected(Rush("x", "replace", 1), order)} == {order[-1]}
    backwards = expected(Rush("x", "merge", 1), order[::-1])
    assert backwards != expected(Rush("x", "merge", 1), order)
