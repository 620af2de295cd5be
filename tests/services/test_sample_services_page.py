"""docs/sample-services.md: what it shows of the shop comes back as it is shown, and its tables are the code's."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from include.services import inventory
from include.services.__main__ import KEEPING
from include.services.faults import PRESETS, FaultSettings
from tests.services.effect_cases import CASES

if TYPE_CHECKING:
    from conftest import Service

PAGE = (Path(__file__).parents[2] / "docs" / "sample-services.md").read_text()
SHOP = PAGE.partition("## The shop")[2]
BLOCKS = re.findall(r"```console\n(.*?)```", SHOP, re.DOTALL)
START = re.compile(r"python -m include.services (?P<name>\w+) --port (?P<port>\d+) --store (?P<store>[\w.]+)")


def steps(block: str) -> list[tuple[str, str]]:
    """Each command, and what is shown of its answer; a line that goes on in the next one is joined."""
    parts = [part.partition("\n") for part in block.removeprefix("$ ").split("\n$ ")]
    return [(command, shown.replace("\n", "")) for command, _, shown in parts]


def fits(shown: str, came: str) -> bool:
    """Whether that came; an ellipsis stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), came) is not None


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: START.findall(block)[0][0])
def test_the_commands_do_what_is_shown(start: Callable[..., Service], tmp_path: Path, block: str) -> None:
    """Each block in a shell of its own, against the service that it starts."""
    (begin, first), *commands = steps(block)
    found = START.fullmatch(begin)
    assert found
    assert first == f"{found['name']}: http://127.0.0.1:{found['port']}"
    service = start(found["name"], "--store", str(tmp_path / found["store"]))
    said = ""
    for command, shown in commands:
        said += f"{command}\n" if not shown else ""
        if shown:
            script = (said + command).replace(f"localhost:{found['port']}", service.url.removeprefix("http://"))
            done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20, check=True)
            assert fits(shown, done.stdout), f"$ {command}\n{done.stdout}"


def test_every_service_of_the_shop_is_shown() -> None:
    """One block each, and one for each service that came after it."""
    assert [found[0] for block in BLOCKS for found in START.findall(block)] == list(KEEPING[1:])


def test_every_setting_is_explained() -> None:
    """With what the preset demo sets it to."""
    table = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE.partition("## Misbehaviour")[2], re.MULTILINE))
    for field in fields(FaultSettings):
        value = getattr(PRESETS["demo"], field.name)
        shown = "as started" if field.name == "seed" else f"{value:g}" if type(value) is float else str(value).lower()
        assert table[field.name] == shown, field.name


def test_every_collection_has_its_row() -> None:
    """With the fields that its request has."""
    for case in CASES:
        row = re.search(rf"^\| `POST {case.path}` \| `(.*?)`:", SHOP, re.MULTILINE)
        assert row
        assert list(case.body) == [name for name in re.findall(r'"(\w+)"', row[1]) if name in case.body]


def test_the_catalogue_is_as_it_says() -> None:
    """Ten skus, one of them sold out."""
    assert "ten skus with a million pieces each, but for `sold-out`" in SHOP
    assert len(inventory.STOCK) == 10
    assert {sku for sku, pieces in inventory.STOCK.items() if pieces != 1_000_000} == {"sold-out"}
