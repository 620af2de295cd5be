"""Environments of the orchestrators that tests drive."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import engines


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an engine that needs nothing, so that nothing is downloaded."""
    file = tmp_path / "requirements.txt"
    file.write_text("# nothing\n")
    monkeypatch.setattr(engines, "ENGINES", tmp_path / "engines")
    monkeypatch.setattr(engines, "REQUIREMENTS", {"small": file})
    return file


def test_an_engine_is_installed_once_and_again_when_its_requirements_change(requirements: Path) -> None:
    assert not engines.installed("small")
    engines.install()
    assert engines.installed("small")
    assert engines.program("small", "python").exists()
    kept = engines.program("small", "kept")
    kept.touch()
    engines.install()
    assert kept.exists()
    requirements.write_text("# nothing else\n")
    assert not engines.installed("small")
    engines.install()
    assert engines.installed("small")
    assert not kept.exists()


def test_an_installation_that_failed_is_none(requirements: Path) -> None:
    requirements.write_text("./no-such-package-here\n")
    with pytest.raises(SystemExit, match=r"pip install .* failed"):
        engines.install()
    assert not engines.installed("small")
