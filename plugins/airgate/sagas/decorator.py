"""``@saga``: a function defines a saga's steps; called it makes one, expanded one for each order."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, overload

from airflow.sdk import task_group
from airflow.sdk.definitions._internal.contextmanager import TaskGroupContext

from airgate.sagas.building import Building
from airgate.sagas.options import split
from airgate.sagas.saga import SagaSteps


class SagaFactory:
    """A saga that is defined by a function; see ``saga``."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make one saga; gives what the function returned, such as a step's result, else its task group."""
        return self._factory(*args, **kwargs)

    def override(self, **group: Any) -> SagaFactory:
        """Change arguments of the task group, such as ``group_id``."""
        return SagaFactory(self._factory.override(**group))

    def partial(self, **kwargs: Any) -> SagaFactory:
        """Give arguments that are the same for every order."""
        return SagaFactory(self._factory.partial(**kwargs))

    def expand(self, **kwargs: Any) -> Any:
        """Make one saga for each element, 1,024 at most; gives what calling it gives."""
        return self._factory.expand(**kwargs)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """Make one saga for each set of arguments; gives what calling it gives."""
        return self._factory.expand_kwargs(kwargs)


@overload
def saga(function: Callable[..., Any], /) -> SagaFactory: ...


@overload
def saga(**options: Any) -> Callable[[Callable[..., Any]], SagaFactory]: ...


def saga(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a saga of a function whose first argument is what steps are defined on.

    ```python
    @saga(honours_keys=True)
    def fulfil(order_saga, order):
        order_saga.step("reserve", reserve, undo=…, lookup=…, inputs={"order": order})
        …


    fulfil(order)  # one saga
    fulfil.expand(order=orders())  # one for each
    ```

    Expanded, or called within a mapped task group, a task ``NAME_verdicts`` beside what is mapped counts how they
    ended, and fails the run unless all are completed.

    Args:
        function: Takes the saga first, and whatever it is called or expanded with.
        **options: Those of ``Saga``; ``group_id`` is the function's name unless given.
    """
    if function is None:
        return functools.partial(_made, options=options)
    return _made(function, options=options)


def _made(function: Callable[..., Any], *, options: dict[str, Any]) -> SagaFactory:
    own, group = split(options)
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise ValueError(f"@saga {function.__name__!r} takes the saga as its first argument, to define steps on")

    @functools.wraps(function)
    def define(*args: Any, **kwargs: Any) -> Any:
        opened: Any = TaskGroupContext.get_current()
        steps = SagaSteps(Building(opened.group_id, own))
        returned = function(steps, *args, **kwargs)
        steps.close()
        return returned

    define.__signature__ = inspect.Signature(parameters[1:])  # type: ignore[attr-defined]
    return SagaFactory(task_group(**{"group_id": function.__name__, **group})(define))
