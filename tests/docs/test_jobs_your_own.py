"""docs/jobs-your-own.md: its declaration is the file it says, and its table has every key."""

from __future__ import annotations

import re

from pages import PROJECT, blocks

from airgate.jobs.declaration_reading import SECTIONS, TOP
from airgate.jobs.declaration_request import REQUEST

PAGE = PROJECT / "docs" / "jobs-your-own.md"


def test_the_declaration_is_the_file() -> None:
    """Word for word, so that what the page shows is what runs."""
    [shown] = [block.code for block in blocks("yaml") if block.page == PAGE]
    assert shown == (PROJECT / "include" / "jobs" / "work.yaml").read_text()


def test_every_key_of_a_declaration_is_explained() -> None:
    """The table has the keys that the reader knows, and no other."""
    first = re.findall(r"^\| (`[^|]+`) \|", PAGE.read_text().partition("### Keys of a declaration")[2], re.MULTILINE)
    explained = {key for cell in first for key in re.findall(r"`([^`]+)`", cell)}
    own = {f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys if key not in REQUEST}
    assert explained == {*TOP, *own} - {"failure"}
    assert set(REQUEST) <= set(re.findall(r"`(\w+)`", PAGE.read_text()))
