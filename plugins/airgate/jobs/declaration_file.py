"""Finds the file of a declaration: a path, or ``package://package.name/path/in/it``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PACKAGE = "package://"
LARGEST = 65_536
"""Bytes: a declaration is stored with each job that is waited for."""


def load_declaration(location: str) -> dict[str, Any]:
    """The object in a file of JSON or YAML, named after the file where it gives itself no name.

    Raises:
        ValueError: There is no such file, or no object in it.
    """
    if location.startswith(PACKAGE):
        return _parsed(location, _resource(location))
    path = Path(location)
    try:
        status = path.stat()
        return _file(path.absolute(), location, status.st_mtime_ns, status.st_size)
    except OSError as error:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise ValueError(f"the declaration {location} cannot be read{where}: {error.strerror}") from None


@lru_cache(maxsize=64)
def _file(path: Path, location: str, changed: int, size: int) -> dict[str, Any]:
    """A DAG file asks for the same declaration once an operator."""
    return _parsed(location, path.read_bytes())


@lru_cache(maxsize=64)
def _resource(location: str) -> bytes:
    from importlib.resources import files

    split = urlsplit(location)
    path = split.path.lstrip("/")
    if not split.netloc or not path:
        raise ValueError(f"{location!r} must be package://package.name/path/in/it")
    try:
        return files(split.netloc).joinpath(path).read_bytes()
    except (ImportError, TypeError, ValueError):
        raise ValueError(f"{location!r}: there is no package {split.netloc!r} that can be imported") from None
    except OSError as error:
        raise ValueError(f"the declaration {location} cannot be read: {error.strerror}") from None


def _parsed(location: str, text: bytes) -> dict[str, Any]:
    # Imported here, as every parse of a DAG file would pay for it otherwise.
    from airgate.openapi.reading import parse

    if len(text) > LARGEST:
        raise ValueError(f"the declaration {location} has {len(text)} bytes, more than {LARGEST}")
    return {"name": location, **parse(text, location)}
