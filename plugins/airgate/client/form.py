"""A form with files."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from airgate.client.streams import Body, FileBody, Upload, body_digest
from airgate.client.texts import pairs_of


@dataclass(frozen=True)
class Multipart:
    """A form with files, ``multipart/form-data`` (RFC 7578).

    Args:
        fields: Values of the form's fields; a list repeats its name. Numbers and booleans are written as in a query.
        files: Content by field name: bytes, a ``pathlib.Path``, or another body of this module.
        names: File names to tell the server by field name; else a path's own, or the field's name.

    Raises:
        ValueError: Naming the field that cannot be sent.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Body | os.PathLike[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        list(self._values())  # refuses what cannot be written
        for name, content in dict[str, object](self.files).items():
            if isinstance(content, str) or not isinstance(content, (bytes, os.PathLike, Upload)):
                kind = type(content).__name__
                raise ValueError(  # noqa: TRY004, as for every argument that is wrong
                    f"files: {name!r} must be bytes, a pathlib.Path or a body such as FileBody, not {kind}"
                )

    def __repr__(self) -> str:
        # The same at every parse of a DAG file, and without what the form holds: it may be secret, or large.
        held = repr((list(self._values()), list(self.files.items()), self.names)).encode()
        digest = hashlib.sha256(held).hexdigest()[:16]
        return f"Multipart(fields={sorted(self.fields)}, files={sorted(self.files)}, sha256={digest})"

    @cached_property
    def boundary(self) -> str:
        """What stands between the parts; drawn when it is first asked for."""
        return secrets.token_hex(16)

    @property
    def content_type(self) -> str | None:
        """The media type with the boundary that this form uses."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def length(self) -> int | None:
        """Bytes altogether, None when one of the files does not know its own."""
        total = 0
        for head, content in self._parts():
            size = len(content) if isinstance(content, bytes) else content.length
            if size is None:
                return None
            total += len(head) + size + 2
        return total + len(self._end)

    @property
    def spent(self) -> bool:
        """Whether one of its files is."""
        return any(isinstance(content, Upload) and content.spent for content in self.files.values())

    def open(self) -> Iterator[bytes]:
        """The form, each file opened when its turn comes."""
        for head, content in self._parts():
            yield head
            if isinstance(content, bytes):
                yield content
            else:
                yield from content.open()
            yield b"\r\n"
        yield self._end

    def digest(self) -> str:
        """SHA-256 of names and contents; the boundary, another one each time, does not count."""
        sha = hashlib.sha256()
        for name, value in self._values():
            sha.update(f"{len(name.encode())}:{len(value.encode())}:{name}{value}".encode())
        for name, content in self.files.items():
            filename = self._filename(name, content)
            sha.update(f"{len(name.encode())}:{len(filename.encode())}:{name}{filename}".encode())
            sha.update(body_digest(_as_body(content)).encode())
        return sha.hexdigest()

    @property
    def _end(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()

    def _values(self) -> Iterator[tuple[str, str]]:
        return pairs_of("fields", self.fields)

    def _parts(self) -> Iterator[tuple[bytes, Body]]:
        for field_name, value in self._values():
            yield self._head(f'name="{_quoted(field_name)}"', None), value.encode()
        for name, content in self.files.items():
            body = _as_body(content)
            filename = self._filename(name, content)
            kind = None if isinstance(body, bytes) else body.content_type
            kind = kind or mimetypes.guess_type(filename)[0] or "application/octet-stream"
            yield self._head(f'name="{_quoted(name)}"; filename="{_quoted(filename)}"', kind), body

    def _head(self, disposition: str, kind: str | None) -> bytes:
        if kind is not None and not (kind.isascii() and kind.isprintable()):
            raise ValueError(f"content_type must be a media type, not {kind!r}")
        typed = f"Content-Type: {kind}\r\n" if kind else ""
        return f"--{self.boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{typed}\r\n".encode()

    def _filename(self, name: str, content: object) -> str:
        path = content.path if isinstance(content, FileBody) else content
        return self.names.get(name) or (Path(path).name if isinstance(path, (str, os.PathLike)) else name)


def _as_body(content: Body | os.PathLike[str]) -> Body:
    return FileBody(content) if isinstance(content, os.PathLike) else content


def _quoted(text: str) -> str:
    """A name within quotes, as browsers write it (HTML, multipart/form-data encoding algorithm)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
