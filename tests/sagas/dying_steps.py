"""Steps of sagas whose processes are killed; in a module of their own, as another process has to find them."""

from __future__ import annotations

from typing import Any

from airgate.hooks import Call
from tests.sagas.charges import CANCELLED, DECLINED, FOUND, REFUND, charge


def retried(order: Any) -> None:
    order.step("charge", charge(), **FOUND)


def once(order: Any) -> None:
    order.step("charge", charge(), retries=0, **FOUND)


def once_cancelled(order: Any) -> None:
    order.step("charge", charge(), retries=0, **CANCELLED)


def once_without_look_up(order: Any) -> None:
    order.step("charge", charge(), retries=0, undo=REFUND)


def going_back(order: Any) -> None:
    order.step("charge", charge(), **FOUND)
    order.step("decline", DECLINED, undo=False)


def without_keys(order: Any) -> None:
    find = Call("GET", "/charges", params={"order": "{{ run_id }}"})
    order.step("charge", charge(), honours_keys=False, undo=REFUND, lookup=find, lookup_filter="charges[0]")
