"""An OpenAPI document: where it comes from, and its operations."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from airgate.openapi.errors import DocumentError
from airgate.openapi.library import Library, Node, open_file, open_resource
from airgate.openapi.operation import Operation

if TYPE_CHECKING:
    from airgate.openapi.validation import Schemas, Version

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
PACKAGE = "package://"


class Document:
    """An OpenAPI 3.0 or 3.1 document.

    Its ``servers`` are not looked at: the connection says where the gateway is.

    Raises:
        DocumentError: It is of another version.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.version: Version = _version(library)

    def __repr__(self) -> str:
        return f"<OpenAPI {self.version} document {self.library.name!r}>"

    @property
    def title(self) -> str:
        """What it calls itself."""
        info = self.library.root.value.get("info")
        return str(info.get("title", "")) if isinstance(info, dict) else ""

    @cached_property
    def schemas(self) -> Schemas:
        """Its schemas, with the library that reads them."""
        from airgate.openapi.validation import Schemas

        return Schemas(self.library, self.version)

    @property
    def operations(self) -> Mapping[str, Operation]:
        """All operations by id, in the document's order; one without an id is called ``METHOD /path``."""
        return self._index[0]

    def operation(self, operation_id: str) -> Operation:
        """The operation of an id.

        Raises:
            ValueError: There is none, or more than one; the text names near ones.
        """
        operations, doubled = self._index
        if operation_id in doubled:
            where = " and ".join(self.library.at(node) for node in doubled[operation_id])
            raise ValueError(f"operation {operation_id!r} stands twice in {self.library.name}: {where}")
        if operation_id in operations:
            return operations[operation_id]
        close = difflib.get_close_matches(operation_id, operations, n=3)
        folded = [name for name in operations if name.lower() == operation_id.lower()]
        meant = list(dict.fromkeys([*folded, *close]))
        hint = f"did you mean {' or '.join(map(repr, meant))}?" if meant else f"it has {_some(operations)}"
        raise ValueError(f"operation {operation_id!r} is not in {self.library.name}; {hint}")

    @cached_property
    def _index(self) -> tuple[dict[str, Operation], dict[str, list[Node]]]:
        found: dict[str, Operation] = {}
        doubled: dict[str, list[Node]] = {}
        paths = self.library.root.get("paths")
        for path in paths.value if paths is not None and isinstance(paths.value, dict) else ():
            assert paths is not None
            if not path.startswith("/"):
                continue
            item = self.library.follow(paths.child(path))
            for method in METHODS:
                node = item.get(method)
                if node is None or not isinstance(node.value, dict):
                    continue
                operation = self._operation(method, path, node, item)
                if operation.operation_id in found:
                    first = found[operation.operation_id].node
                    doubled.setdefault(operation.operation_id, [first]).append(node)
                else:
                    found[operation.operation_id] = operation
        return found, doubled

    def _operation(self, method: str, path: str, node: Node, item: Node) -> Operation:
        return Operation(
            str(node.value.get("operationId") or f"{method.upper()} {path}"),
            method.upper(),
            path,
            str(node.value.get("summary") or item.value.get("summary") or ""),
            node.value.get("deprecated") is True,
            node,
            item,
            self.library,
            self.schemas,
        )


def load(text: str | bytes, name: str = "openapi") -> Document:
    """A document from its text, such as one that the gateway gave.

    Args:
        text: JSON or YAML.
        name: What errors call it.

    Raises:
        DocumentError: It cannot be read or is of another version.
    """
    return Document(Library(text, name))


def open_document(location: str | Path) -> Document:
    """A document from a file, or from an installed package as ``package://package.name/path/in/it``.

    A file is read again when it has changed.

    Raises:
        DocumentError: It cannot be read or is of another version.
    """
    if str(location).startswith(PACKAGE):
        return _open_package(str(location))
    path = Path(location)
    try:
        status = path.stat()
    except OSError as error:
        raise DocumentError(f"the OpenAPI document {path} cannot be read: {error.strerror}") from None
    return _open_file(path.absolute(), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _open_file(path: Path, changed: int, size: int) -> Document:
    """A DAG file asks for the same document once an operator."""
    return Document(open_file(path))


@lru_cache(maxsize=32)
def _open_package(location: str) -> Document:
    return Document(open_resource(location))


def _version(library: Library) -> Version:
    root = library.root.value
    written = root.get("openapi", root.get("swagger"))
    text = str(written)
    if "openapi" in root and text.startswith("3.0"):
        return "3.0"
    if "openapi" in root and text.startswith("3.1"):
        return "3.1"
    if "swagger" in root:
        raise DocumentError(f"{library.name}: it is Swagger {text}; convert it to OpenAPI 3.0 or 3.1")
    named = "has no field openapi" if written is None else f"is OpenAPI {text}"
    raise DocumentError(f"{library.name}: it {named}; airgate reads 3.0 and 3.1")


def _some(names: Mapping[str, Operation]) -> str:
    shown = list(names)[:10]
    return (", ".join(shown) + (", …" if len(names) > len(shown) else "")) or "no operations"
