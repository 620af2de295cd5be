"""A trigger that raises each time that it is started, and counts that."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent


class RaisingTrigger(BaseEventTrigger):
    """Raises."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class."""
        return "tests.integration.raising_trigger.RaisingTrigger", {}

    def run(self) -> AsyncIterator[TriggerEvent]:
        """Say that it was started, and raise."""
        with (Path(os.environ["AIRFLOW_HOME"]) / "raised").open("a") as file:
            file.write("x")
        raise RuntimeError("this trigger always raises")
