"""A home for demos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import marks


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home for the demos of a module, empty at first; no process of it outlives the module."""
    home = tmp_path_factory.mktemp("demo") / "home"
    yield home
    marks.sweep(home)
