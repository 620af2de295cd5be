"""Airflow's side of a gateway: the hook, and the retry policy that understands its errors."""

from airgate.hooks.call import Call
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.overflow import read_object
from airgate.hooks.retry_policy import GatewayRetryPolicy
from airgate.hooks.warehouse import WarehouseHook

__all__ = ["Call", "GatewayHook", "GatewayRetryPolicy", "WarehouseHook", "read_object"]
