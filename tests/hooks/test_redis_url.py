"""The address of a Redis by an Airflow connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.hooks.limits import store_location
from airgate.hooks.redis_url import redis_url


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "redis://localhost:6379/0"),
        ({"host": "cache", "port": 6380, "extra": {"db": 3}}, "redis://cache:6380/3"),
        ({"host": "cache", "password": "p@ss/word"}, "redis://:p%40ss%2Fword@cache:6379/0"),
        ({"host": "cache", "login": "me", "password": "secret", "extra": {"ssl": True}}, "rediss://me:secret@cache:6379/0"),
    ],
)  # fmt: skip
def test_a_connection_is_an_address(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], url: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CACHE", json.dumps({"conn_type": "redis", **fields}))
    assert redis_url("cache", "a test") == url == store_location("cache")


def test_a_connection_of_another_type_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CACHE", json.dumps({"conn_type": "http", "password": "secret-of-http"}))
    with pytest.raises(ValueError, match="a test: connection 'cache' has the type 'http', not 'redis'"):
        redis_url("cache", "a test")
