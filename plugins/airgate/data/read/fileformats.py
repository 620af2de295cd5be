"""The forms in which a service gives an export: one long body of many records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ASCII = bytes(range(128)).decode("ascii")


@dataclass(frozen=True, slots=True)
class NdjsonFile:
    """One JSON object a line, UTF-8; also known as JSON Lines. Empty lines are passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """Fields between delimiters, quoted as in RFC 4180.

    Args:
        delimiter: Between two fields, one character.
        header: Names of the columns, for a file whose first line has none of them; None for one that begins with them.
        null: What stands for null where it is not quoted; an empty field, unless told otherwise.
        encoding: UTF-8, or one of one byte a character, such as ``cp1252``.
    """

    delimiter: str = ","
    header: Sequence[str] | None = None
    null: Sequence[str] = ("",)
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        for name in ("header", "null"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a list of texts, not {getattr(self, name)!r}")
        if len(self.delimiter) != 1 or self.delimiter not in _ASCII or self.delimiter in '"\r\n':
            raise ValueError(f"delimiter must be one character such as ';' or '\\t', not {self.delimiter!r}")
        if self.header is not None:
            object.__setattr__(self, "header", tuple(self.header))
            check_names(list(self.header))
        object.__setattr__(self, "null", tuple(self.null))
        if not _keeps_ascii(self.encoding):
            raise ValueError(f"encoding must be utf-8 or one of one byte a character, not {self.encoding!r}")


FileFormat = NdjsonFile | CsvFile


def check_names(names: list[str]) -> None:
    """Refuse a header that does not tell columns apart.

    Raises:
        ValueError: A name is empty or stands there twice.
    """
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError(f"the header has a name that is empty or stands there twice: {', '.join(names)}")


def _keeps_ascii(encoding: str) -> bool:
    """Whether bytes below 128 always are what they are in ASCII: records are cut before anything is decoded."""
    try:
        if "é".encode(encoding) == "é".encode():
            return True
        every = bytes(range(256)).decode(encoding, "replace")
    except (LookupError, ValueError):
        return False
    return len(every) == 256 and every.startswith(_ASCII)
