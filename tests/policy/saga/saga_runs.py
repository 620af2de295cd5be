"""Programs that can be gone on with in many ways: what each would want next, after any row of answers."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

from airgate.policy.saga.effects import Effect, Program


class Frozen(dict[Any, Any]):
    """A dict that is never changed, and may be a member of a set."""

    __slots__ = ("_hash",)

    _hash: int | None

    def __init__(self, items: Mapping[Any, Any] | None = None) -> None:
        super().__init__(items or {})
        self._hash = None

    def __hash__(self) -> int:  # type: ignore[override]
        if self._hash is None:
            self._hash = functools.reduce(operator.xor, map(hash, self.items()), 0)
        return self._hash

    def with_(self, name: Any, value: Any) -> Frozen:
        """Another one in which a name has this value."""
        other = Frozen(self)
        was = hash((name, self[name])) if name in self else 0
        other[name] = value
        other._hash = hash(self) ^ was ^ hash((name, value))
        return other


class Run:
    """A program after it has been told so much.

    Runs of the same program that were told the same are the same object, so a run may be part of a state that is
    compared with others, and the program goes through each row of answers once.
    """

    __slots__ = ("_next", "_program", "_told", "effect", "raised", "returned")

    def __init__(self, program: Callable[[], Program[Any]], told: tuple[Any, ...] = ()) -> None:
        self._program = program
        self._told = told
        self._next: dict[Any, Run] = {}
        self.effect: Effect | None = None
        """What it wants; None when it has ended."""
        self.returned: Any = None
        self.raised: Exception | None = None
        self._replay()

    def _replay(self) -> None:
        going = self._program()
        try:
            self.effect = next(going)
            for answer in self._told:
                self.effect = going.send(answer)
        except StopIteration as end:
            self.effect, self.returned = None, end.value
        except Exception as error:
            # Errors are told to many runs, and each would add its own frames to them.
            self.effect, self.raised = None, error.with_traceback(None)
        finally:
            going.close()

    def told(self, answer: Any) -> Run:
        """The program after one more answer."""
        if answer not in self._next:
            self._next[answer] = Run(self._program, (*self._told, answer))
        return self._next[answer]
