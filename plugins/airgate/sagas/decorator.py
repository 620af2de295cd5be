"""``@saga``: a function defines a saga's steps; called it makes one, expanded one for each order."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from airflow.sdk import task_group

from airgate.sagas.options import split
from airgate.sagas.saga import SagaSteps, within_group


def saga(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a saga of a function whose first argument is what steps are defined on.

    ```python
    @saga(honours_keys=True)
    def fulfil(order_saga, order):
        order_saga.step("reserve", reserve, undo=…, lookup=…, inputs={"order": order})
        …


    fulfil(order)  # one saga
    fulfil.expand(order=orders())  # one for each, 1,024 at most
    ```

    Args:
        function: Takes the saga first, and whatever it is called or expanded with.
        **options: Those of ``Saga``; ``group_id`` is the function's name unless given.
    """
    if function is None:
        return functools.partial(_made, options=options)
    return _made(function, options=options)


def _made(function: Callable[..., Any], *, options: dict[str, Any]) -> Any:
    own, group = split(options)
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise ValueError(f"@saga {function.__name__!r} takes the saga as its first argument, to define steps on")

    @functools.wraps(function)
    def define(*args: Any, **kwargs: Any) -> None:
        steps: SagaSteps = within_group(own)
        function(steps, *args, **kwargs)
        steps.close()

    define.__signature__ = inspect.Signature(parameters[1:])  # type: ignore[attr-defined]
    return task_group(**{"group_id": function.__name__, **group})(define)
