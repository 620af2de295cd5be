"""Tasks that call a gateway, read collections from it and load what they read."""

from airgate.data.read.fileformats import CsvFile, NdjsonFile
from airgate.operators.extract import GatewayExtractOperator
from airgate.operators.gateway import GatewayOperator
from airgate.operators.incremental import Incremental
from airgate.operators.job import GatewayJobOperator
from airgate.operators.load import TableLoadOperator
from airgate.operators.merge import MergeManifestsOperator
from airgate.operators.openapi_schema import OpenApiSchema
from airgate.operators.push import GatewayPushOperator

__all__ = [
    "CsvFile",
    "GatewayExtractOperator",
    "GatewayJobOperator",
    "GatewayOperator",
    "GatewayPushOperator",
    "Incremental",
    "MergeManifestsOperator",
    "NdjsonFile",
    "OpenApiSchema",
    "TableLoadOperator",
]
