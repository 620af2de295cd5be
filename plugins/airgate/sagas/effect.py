"""What a step did, as its undo and its look-up see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CONTEXT_KEY = "airgate_effect"
"""Name in the context of a task that undoes something."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one step."""

    step: str
    key: str
    """The idempotency key that the step's request carried, or would have carried."""
    result: Any = field(default=None, repr=False)
    """What the step gave; None where only the key is known, and in a look-up."""


def current_effect() -> Effect:
    """What the running task is to undo; for undos that are operators or task functions.

    Raises:
        RuntimeError: No undo of a saga is running.
    """
    from airgate.hooks.writes import running_context

    context = running_context()
    effect = None if context is None else context.get(CONTEXT_KEY)
    if not isinstance(effect, Effect):
        raise RuntimeError("there is no effect: call current_effect() in the undo of a saga's step")  # noqa: TRY004
    return effect
