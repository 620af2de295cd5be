"""The schema of records, taken from the OpenAPI document of the service that gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from airgate.openapi import Document


@dataclass(frozen=True, slots=True)
class OpenApiSchema:
    """What an OpenAPI document says of the records in an operation's answer.

    A document that is a file or in a package is looked at when the DAG is parsed: an operation that it lacks, or that
    has no such answer, is an import error. One that must be asked of the gateway, or that only the connection names, is
    looked at when the task runs.

    Args:
        operation: The operationId that describes the records; it need not be what the task calls.
        openapi: Location of the document, instead of the connection's ``openapi``.
        records: Dotted path of the list in that answer; None for the task's own, or for the lines of its export.
        status: Which of its answers.
        loose: Keep as JSON text what the document gives no single type; False refuses it.
    """

    operation: str
    openapi: str | None = None
    records: str | None = None
    status: str = "200"
    loose: bool = True

    def problem(self, records: str | None) -> str | None:
        """What is wrong with it as far as that can be told without a gateway; None when nothing is.

        Args:
            records: The task's own path; None for the lines of an export.
        """
        from airgate.hooks.documents import on_the_gateway
        from airgate.openapi import open_document
        from airgate.openapi.records import described_record

        if self.openapi is None or on_the_gateway(self.openapi):
            return None
        try:
            described_record(open_document(self.openapi), self.operation, self._path(records), self.status)
        except ValueError as error:
            return str(error)
        return None

    def arrow(self, document: Document, records: str | None) -> pa.Schema:
        """The records' schema.

        Args:
            document: The one that ``openapi`` or the connection names.
            records: The task's own path; None for the lines of an export.

        Raises:
            ValueError: The document has no such operation, or describes no such answer.
        """
        from airgate.data.shape.described import described_schema

        return described_schema(document, self.operation, self._path(records), status=self.status, loose=self.loose)

    def _path(self, records: str | None) -> str | None:
        return records if self.records is None else self.records
