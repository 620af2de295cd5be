"""What a service offers: OpenAPI documents, their operations, and what a call of one must look like.

Importing this package is cheap; the YAML and JSON Schema libraries come in when a document needs them.
"""

from airgate.openapi.check import problems
from airgate.openapi.document import Document, load, open_document
from airgate.openapi.errors import DocumentError, Finding, OperationError
from airgate.openapi.literals import is_templated
from airgate.openapi.operation import Operation
from airgate.openapi.parameter import Parameter
from airgate.openapi.prepared import PreparedCall

__all__ = [
    "Document",
    "DocumentError",
    "Finding",
    "Operation",
    "OperationError",
    "Parameter",
    "PreparedCall",
    "is_templated",
    "load",
    "open_document",
    "problems",
]
