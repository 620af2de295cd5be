"""The wheel and the clean environment, made once for all packaging tests."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from clean_environment import PROJECT, CleanEnvironment, uv


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--quiet", "--wheel", "--out-dir", folder, PROJECT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def clean_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """A virtual environment into which the wheel was installed once, so that Airflow is there as well."""
    root = tmp_path_factory.mktemp("clean")
    constraints = root / "constraints.txt"
    export = ["--quiet", "--frozen", "--no-hashes", "--no-emit-project", "--no-default-groups"]
    uv("export", *export, "--output-file", constraints)
    uv("venv", "--quiet", "--python", sys.executable, root / "venv")
    environment = CleanEnvironment(root, constraints, wheel)
    environment.install()
    return environment


@pytest.fixture
def installed(clean_environment: CleanEnvironment) -> CleanEnvironment:
    """The environment with the wheel installed."""
    clean_environment.install()
    return clean_environment


@pytest.fixture
def uninstalled(clean_environment: CleanEnvironment) -> CleanEnvironment:
    """The environment with Airflow and without airgate."""
    clean_environment.uninstall()
    return clean_environment


@pytest.fixture
def plugins_folder(tmp_path: Path) -> Path:
    """A copy of plugins/, as somebody would put it beside an Airflow."""
    return shutil.copytree(PROJECT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
