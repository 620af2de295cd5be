"""Callback addresses of the running installation: its settings, and a job's address that is the same in every try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import conf
from airflow.sdk.log import mask_secret

from airgate.client import clock
from airgate.policy.callback import CallbackToken, mark_of, name_of, new_nonce, secrets_of

SETTLES = 10.0
"""Seconds after a deferral in which a task is not resumed. Seen with Airflow 3.3.2 and its LocalExecutor: a task that
is queued again before the scheduler has taken note of the end of its first process is taken for one that died in the
queue, and fails."""
_HOW = "(environment: AIRFLOW__AIRGATE__{})"


def signing_secrets() -> tuple[str, ...]:
    """The secrets of ``[airgate] callback_secrets``: the first one signs, all of them are known.

    Raises:
        ValueError: There is none, or one is too short.
    """
    setting = conf.get("airgate", "callback_secrets", fallback="")
    if not setting.strip():
        raise ValueError(
            "[airgate] callback_secrets is not set: give it at least one random secret, the same for the workers and "
            f"the api-server, such as `openssl rand -hex 32` prints {_HOW.format('CALLBACK_SECRETS')}"
        )
    try:
        return secrets_of(setting)
    except ValueError as error:
        raise ValueError(f"[airgate] callback_secrets: {error}") from None


def new_callback(ends: float | None) -> dict[str, Any]:
    """What makes one job's address, to be stored before the job is submitted; nothing in it is secret.

    The address itself is not stored: who reads Airflow's database could call it.

    Args:
        ends: Unix time at which the wait is over; None for the longest time that is set.

    Raises:
        ValueError: A setting is missing or makes no sense.
    """
    lifetime = conf.getint("airgate", "callback_lifetime", fallback=604800)
    if lifetime <= 0:
        raise ValueError(f"[airgate] callback_lifetime must be more than 0 seconds, not {lifetime}")
    return {
        "nonce": new_nonce(),
        "expires_at": int(clock.now() + lifetime if ends is None else ends) + 1,
        "base": _base(),
        "secret": name_of(signing_secrets()[0]),
    }


def callback_address(ti: Any, callback: Mapping[str, Any]) -> str:
    """The address; the same in every try, also when the secrets have been rotated since. It is masked in logs.

    Args:
        ti: The task instance that waits.
        callback: What ``new_callback`` gave.

    Raises:
        ValueError: The secret that signed it is no longer set.
    """
    secret = next((known for known in signing_secrets() if name_of(known) == callback["secret"]), None)
    if secret is None:
        raise ValueError(
            "an earlier try gave the service an address that is signed with a secret which is no longer in [airgate] "
            "callback_secrets: put it back behind the new one until the jobs that were submitted with it are over"
        )
    token = CallbackToken(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        nonce=callback["nonce"],
        expires_at=callback["expires_at"],
    ).signed(secret)
    mask_secret(token)
    return f"{callback['base']}/{token}"


def mark(callback: Mapping[str, Any] | None) -> str:
    """What the trigger keeps, to know the callback by; empty without one."""
    return "" if callback is None else mark_of(callback["nonce"])


def _base() -> str:
    base: str = conf.get("airgate", "callback_url", fallback="").strip().rstrip("/")
    if not base:
        raise ValueError(
            "[airgate] callback_url is not set: give it the address at which services reach the callbacks, such as "
            f"https://gateway.example.com/airgate/v1/callbacks {_HOW.format('CALLBACK_URL')}"
        )
    split = urlsplit(base)
    if split.scheme not in {"http", "https"} or not split.hostname or split.query or split.fragment or split.username:
        raise ValueError(
            "[airgate] callback_url must be an http or https address without user, query or fragment, such as "
            "https://gateway.example.com/airgate/v1/callbacks"
        )
    return base
