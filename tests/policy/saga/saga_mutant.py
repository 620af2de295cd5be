"""Programs with a fault put in, to see that it is found."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest

from airgate.policy.saga import beginning, deciding, forward, settling, undoing, verdict
from tests.policy.saga.saga_scenario import Scenario

_PROGRAMS = (beginning, deciding, forward, settling, undoing, verdict)


@dataclass(frozen=True)
class Mutant:
    """A fault in one function, and the world in which it shows."""

    name: str
    module: ModuleType
    function: str
    right: str
    wrong: str
    scenario: Scenario
    history: tuple[str, ...] = ()
    """Labels that lead to where it shows, where the world is too large to be gone through."""

    def __str__(self) -> str:
        """Its name, as pytest shows it."""
        return self.name

    def put_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the programs run with the fault."""
        whole = getattr(self.module, self.function)
        source = inspect.getsource(whole)
        assert source.count(self.right) == 1, f"{self.function} has no longer {self.right!r}: write the fault anew"
        names = dict(vars(self.module))
        exec("from __future__ import annotations\n" + source.replace(self.right, self.wrong), names)
        for module in (*_PROGRAMS, sys.modules["tests.policy.saga.saga_world"]):
            if getattr(module, self.function, None) is whole:
                monkeypatch.setattr(module, self.function, names[self.function])
