"""The documentation's pages and the code blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES += sorted((PROJECT / "docs").glob("*.md"))

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    """Of its first line of code, from 1."""
    language: str
    options: tuple[str, ...]
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"

    @property
    def is_dag(self) -> bool:
        """Whether it is a DAG file of its own."""
        return self.language == "python" and re.search(r"^@dag\b|^with DAG\(", self.code, re.MULTILINE) is not None


def blocks(language: str) -> list[Block]:
    """All blocks of a language, in the pages' order."""
    return [block for page in PAGES for block in _blocks(page) if block.language == language]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in _FENCE.finditer(text):
        language, *options = match["info"].split() or [""]
        line = text.count("\n", 0, match.start("code")) + 1
        indent = len(match["indent"])
        code = "".join(row[indent:] for row in match["code"].splitlines(keepends=True))
        yield Block(page, line, language, tuple(options), code)
