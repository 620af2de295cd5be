"""What the wheel holds."""

from __future__ import annotations

import configparser
import zipfile
from pathlib import Path

import pytest
from clean_environment import PROJECT

pytestmark = pytest.mark.packaging


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Every source file of the package is in the wheel, and neither tests nor DAGs nor the folder's stub are."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = PROJECT / "plugins"
    sources = {
        str(file.relative_to(package))
        for file in (package / "airgate").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert names == sources
    assert "airgate/py.typed" in names


def test_the_wheel_carries_licence_and_notice(wheel: Path) -> None:
    """Whoever gets the wheel alone still gets the terms."""
    with zipfile.ZipFile(wheel) as archive:
        for name in ("LICENSE", "NOTICE"):
            [found] = [entry for entry in archive.namelist() if entry.endswith(f".dist-info/licenses/{name}")]
            assert archive.read(found) == (PROJECT / name).read_bytes()


def test_the_wheel_offers_itself_to_airflow(wheel: Path) -> None:
    """The entry points are there, and no further ones that Airflow would run unasked."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [entry for entry in archive.namelist() if entry.endswith(".dist-info/entry_points.txt")]
        points = configparser.ConfigParser()
        points.read_string(archive.read(name).decode())
    assert {group: dict(points[group]) for group in points.sections()} == {
        "apache_airflow_provider": {"provider_info": "airgate.provider:get_provider_info"},
        "airflow.plugins": {"airgate": "airgate.plugin:AirgatePlugin"},
        "console_scripts": {"airgate-edge": "airgate.edge.command:main"},
    }
