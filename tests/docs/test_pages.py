"""The documentation as a whole: nothing dangles, and its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, PROJECT

import airgate.errors
import airgate.operators
from airgate.client.fields import FIELDS, Field


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the project has that file, and one to a heading has that heading."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_the_index_lists_every_page() -> None:
    """Whoever opens docs/index.md finds all of docs/."""
    listed = set(re.findall(r"\]\((\w[\w-]*\.md)\)", (PROJECT / "docs" / "index.md").read_text()))
    assert listed == {page.name for page in (PROJECT / "docs").glob("*.md")} - {"index.md"}


def row(name: str, field: Field) -> str:
    """A field as docs/connection.md shows it."""
    default = "" if field.default is None else f"`{field.default}`"
    meaning = field.description or field.label
    if field.choices:
        meaning = f"{meaning.rstrip('.')}. One of {', '.join(f'`{choice}`' for choice in field.choices)}."
    return f"| `{name}` | {field.kind} | {default} | {meaning} |"


def test_the_connection_page_has_every_field() -> None:
    """The table is the one that the form and the reading of the connection use, word for word."""
    table = [line for line in (PROJECT / "docs" / "connection.md").read_text().splitlines() if line.startswith("| `")]
    fields = [line for line in table if re.match(r"\| `\w+` \| (string|number|integer|object) \|", line)]
    assert fields == [row(name, field) for name, field in FIELDS.items()]


def test_the_error_page_has_every_error() -> None:
    """Each public error has its row: what it means and what to do."""
    text = (PROJECT / "docs" / "errors.md").read_text()
    explained = set(re.findall(r"^\| `([A-Z]\w+)` \|", text, re.MULTILINE))
    assert explained == set(airgate.errors.__all__)


def test_every_operator_argument_is_explained() -> None:
    """The operators' pages name each argument that is ours."""
    import inspect

    text = "\n".join(page.read_text() for page in (PROJECT / "docs").glob("*.md"))
    for name in airgate.operators.__all__:
        assert name in text
        for argument in inspect.signature(getattr(airgate.operators, name)).parameters:
            assert argument == "kwargs" or f"`{argument}`" in text, f"{name}: {argument}"


def test_the_example_in_the_readme_stays_short() -> None:
    """The README promises a DAG of about 20 lines."""
    from pages import blocks

    [example] = [block for block in blocks("python") if block.is_dag and block.page.name == "README.md"]
    assert len([line for line in example.code.splitlines() if line.strip()]) <= 24
