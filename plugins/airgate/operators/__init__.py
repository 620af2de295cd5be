"""Tasks that call a gateway, read collections from it and load what they read."""

from airgate.operators.extract import GatewayExtractOperator
from airgate.operators.gateway import GatewayOperator
from airgate.operators.load import TableLoadOperator

__all__ = ["GatewayExtractOperator", "GatewayOperator", "TableLoadOperator"]
