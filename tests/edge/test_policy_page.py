"""The page on policies says what the types say, and its files are files that strict mode serves."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect

from airgate.edge.checking import problems
from airgate.spec.extension import (
    Aggregate,
    Branch,
    BreakerPolicy,
    CacheMemory,
    ClientLimits,
    FileIdentity,
    FileLimits,
    FilePolicies,
    FileUpstream,
    RouteIdentity,
    RoutePolicies,
    Validate,
)

PAGE = Path(__file__).parents[2] / "docs" / "edge-policies.md"
TABLES = (
    FilePolicies,
    RoutePolicies,
    FileLimits,
    ClientLimits,
    FileUpstream,
    BreakerPolicy,
    Validate,
    CacheMemory,
    Branch,
    FileIdentity,
    RouteIdentity,
)
ENVIRONMENT = {
    **dict.fromkeys(("FLIGHTS_URL", "WEATHER_URL", "AIRFLOW_URL"), "http://a"),
    "KEY": "k" * 32,
    "IDENTITY_KEY": "i" * 32,
}


def rows(kind: Any) -> list[str]:
    """Each key of a type as the page shows it."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return [f"| `{field.encode_name}` | {_description(field.type)} |" for field in found.fields]


def _description(kind: inspect.Type) -> str:
    assert isinstance(kind, inspect.Metadata)
    return str((kind.extra_json_schema or {})["description"])


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_the_page_has_every_key(kind: Any) -> None:
    """Word for word, in the order of the type, so that nothing is forgotten when a key is added."""
    assert "\n".join(rows(kind)) in PAGE.read_text()


def test_the_files_of_the_page_are_served() -> None:
    """Each JSON block that is a whole file has no problem."""
    flags = re.MULTILINE | re.DOTALL
    blocks = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), flags)]
    files = [block for block in blocks if "paths" in block]
    assert len(files) >= 3
    for file in files:
        assert problems(json.dumps(file), ENVIRONMENT, None) == [], file


def test_a_branch_is_all_there_is_to_an_aggregation() -> None:
    """The page needs no table for the integration itself."""
    assert Aggregate.__struct_fields__ == ("type", "branches")
