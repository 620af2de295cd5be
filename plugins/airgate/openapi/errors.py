"""What can be wrong with a document, and with a call that is held against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_SHOWN = 5


class DocumentError(ValueError):
    """An OpenAPI document cannot be read, or a place in it cannot be used; the text says where and what to do."""


class Finding(NamedTuple):
    """One thing that breaks the document."""

    pointer: str
    """Where: ``body/items/0/quantity``, ``query/limit``, ``response/body/total``; escaped like a JSON pointer."""
    expectation: str
    """What was expected, and what stood there unless that may be a secret."""

    def __str__(self) -> str:
        return f"{self.pointer}: {self.expectation}"


class OperationError(ValueError):
    """The arguments of an operation, or the answer to it, break the OpenAPI document.

    Args:
        operation_id: The operation.
        findings: What is wrong, at least one thing; the text names the first five.
    """

    def __init__(self, operation_id: str, findings: Sequence[Finding]) -> None:
        self.operation_id = operation_id
        self.findings = tuple(findings)
        shown = "; ".join(map(str, self.findings[:_SHOWN]))
        more = f"; and {len(self.findings) - _SHOWN} more" if len(self.findings) > _SHOWN else ""
        super().__init__(f"operation {operation_id!r}: {shown}{more}")

    def __reduce__(self) -> tuple[type[OperationError], tuple[str, tuple[Finding, ...]]]:
        # An exception crosses processes by its args, and those hold the text only.
        return type(self), (self.operation_id, self.findings)
