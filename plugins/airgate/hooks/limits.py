"""The store that all processes share their limits and circuits through, as ``[airgate] limits_store`` names it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import conf

from airgate.client import clock
from airgate.hooks.redis_url import redis_url
from airgate.policy.store import open_store as open_location

if TYPE_CHECKING:
    from airgate.policy.store_redis import RedisStore
    from airgate.policy.store_sqlite import SqliteStore


def open_store() -> SqliteStore | RedisStore:
    """The store of this installation, one a process; nothing is connected before its first use.

    Raises:
        ValueError: The setting names no store.
        StoreUnavailable: The store needs a library that is not installed.
    """
    return _open(conf.get("airgate", "limits_store", fallback="").strip())


@cache
def _open(setting: str) -> SqliteStore | RedisStore:
    return open_location(store_location(setting), clock=clock.now)


def store_location(setting: str) -> str:
    """What a setting stands for: a file's path, or a URL.

    Args:
        setting: Empty for a file below ``AIRFLOW_HOME``, an absolute path, a ``redis://`` URL, or the id of a
            connection of type ``redis``, which keeps the password out of the configuration.

    Raises:
        ValueError: The connection is of another type.
    """
    if not setting:
        return str(_home() / "airgate" / "limits.sqlite")
    if "://" in setting or setting.startswith(("/", "~", ".")):
        return setting if "://" in setting else str(Path(setting).expanduser().absolute())
    return redis_url(setting, "[airgate] limits_store")


def _home() -> Path:
    from airflow.configuration import AIRFLOW_HOME

    return Path(AIRFLOW_HOME)
