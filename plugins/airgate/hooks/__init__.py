"""Airflow's side of a gateway: the hook, and the retry policy that understands its errors."""

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import GatewayRetryPolicy
from airgate.hooks.warehouse import WarehouseHook

__all__ = ["GatewayHook", "GatewayRetryPolicy", "WarehouseHook"]
