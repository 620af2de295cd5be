"""``Saga``: a task group of steps that are all done, or undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import TaskGroup, XComArg

from airgate.hooks.call import Call
from airgate.hooks.selection import Selection
from airgate.sagas.building import Building
from airgate.sagas.options import split
from airgate.sagas.wiring import Telling

if TYPE_CHECKING:
    from typing import Self

Undo = Call | Callable[..., Any] | Any
"""A call, a function, an operator or the result of a task function."""


class SagaSteps:
    """The steps of one saga, as they are defined; what ``Saga`` and ``@saga`` have in common."""

    def __init__(self, building: Building) -> None:
        self._building = building

    def step(
        self,
        name: str,
        do: Call | Callable[..., Any] | Any,
        *,
        undo: Undo | Literal[False] | None = None,
        lookup: Call | Callable[..., Any] | None = None,
        lookup_filter: Selection | None = None,
        tombstone: bool = False,
        pivot: bool = False,
        retriable: bool = False,
        inputs: Mapping[str, Any] | None = None,
        after: Sequence[str | XComArg] | None = None,
        honours_keys: bool | None = None,
        gateway_conn_id: str | None = None,
        event: Telling | None = None,
        undo_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> XComArg:
        """Define the next step; it follows the one before it.

        Args:
            name: Of the step, and the task's id within the group.
            do: What the step does: a ``Call``, a function of ``inputs`` that gives one, an operator, or the result of
                a task function. An operator's task id must be the step's name.
            undo: What undoes it: a ``Call`` whose templates know ``effect`` (``{{ effect.result.id }}``,
                ``{{ effect.key }}``); a function of the effect and the inputs, which gives a call or undoes the step
                itself; an operator or the result of a task function with the task id ``undo_NAME``. False where there
                is no effect worth undoing. Required before the pivot.
            lookup: How the service is asked whether it happened: a ``Call`` with GET whose templates know
                ``effect.key``, where 404 says that it did not; or a function of the effect and the inputs, which gives
                the call, or what it found itself, None where it is not there.
            lookup_filter: JMESPath expression or function of the look-up's answer that picks the effect; null says
                that it did not happen. The effect must look as the step's own result does.
            tombstone: The undo cancels by ``effect.key`` whatever has happened, and keeps a request that comes later
                from having an effect: then nothing is looked up or waited for before it.
            pivot: From here on nothing is undone.
            retriable: A step behind the pivot: it only goes forward.
            inputs: Arguments of ``do`` where it is a function; results of earlier steps may be among them. Functions
                for ``undo`` and ``lookup`` get those that they have arguments for, behind the effect.
            after: Steps that this one follows, by name or result, instead of the one before; empty for none.
            honours_keys: Whether the service honours idempotency keys, so that an operator or a task function may run
                again without a look-up before; None for the saga's word.
            gateway_conn_id: Connection; None for the saga's.
            event: What the event tells that is published in ``outlets`` once the step is done: an object with ``type``,
                ``subject`` and ``data``, or a function of the result, and of those inputs that it has arguments for,
                which gives one. What it leaves out is ``SAGA.NAME.done``, the run's id and the result.
            undo_options: Arguments of the undo's operator, such as ``expect``, ``pool`` or ``outlets``, and its own
                ``event``.
            **options: Arguments of the step's operator: those of ``GatewayOperator`` that are not part of the call,
                such as ``response_filter``, and Airflow's.

        Returns:
            The step's result.

        Raises:
            ValueError: The step is wrong; the message names it and the cure.
        """
        return self._building.step(
            name,
            do,
            undo=undo,
            lookup=lookup,
            lookup_filter=lookup_filter,
            tombstone=tombstone,
            pivot=pivot,
            retriable=retriable,
            inputs=inputs,
            after=after,
            honours_keys=honours_keys,
            gateway_conn_id=gateway_conn_id,
            event=event,
            undo_options=undo_options,
            options=options,
        )

    @contextmanager
    def parallel(self) -> Iterator[None]:
        """Steps that are defined in here run side by side, and what comes next follows all of them."""
        with self._building.parallel():
            yield

    def close(self) -> None:
        """Check the saga, and define what undoes it; ``Saga`` and ``@saga`` do this themselves.

        Raises:
            ValueError: The saga is wrong; the message names the cure.
        """
        self._building.finish()

    @property
    def verdict(self) -> XComArg:
        """How the saga ended: an object with ``state`` and ``steps``; a result only when it is completed."""
        return self._building.verdict.output


class Saga(TaskGroup):
    """Steps at several services that are all done, or those that were done are undone.

    Ends as *completed*, *compensated* or *needs-attention*, as its task ``verdict`` says; the run is green only if it
    is completed. See docs/sagas.md.

    ```python
    with Saga("order", honours_keys=True) as order:
        reserved = order.step("reserve", Call("POST", "/reservations", json=…), undo=…, lookup=…)
        charged = order.step("charge", Call("POST", "/charges", json={"amount": reserved["total"]}), undo=…, lookup=…)
        order.step("ship", Call("POST", "/shipments", json=…), lookup=…, pivot=True)
        order.step("notify", Call("POST", "/notices", json=…), retriable=True)
    ```

    Args:
        group_id: Of the task group.
        **options: The fields of ``airgate.sagas.options.SagaOptions``, and arguments of ``TaskGroup`` such as
            ``tooltip`` and ``default_args``.
    """

    def __init__(self, group_id: str = "saga", **options: Any) -> None:
        self._options, group = split(options)
        self._steps: SagaSteps | None = None
        super().__init__(group_id=group_id, **group)

    def __enter__(self) -> Self:
        """Open the group, and define ``begin``."""
        super().__enter__()
        self._steps = SagaSteps(Building(self.group_id or "saga", self._options))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Check the saga, define its undos, ``decide`` and ``verdict``, and close the group.

        Raises:
            ValueError: The saga is wrong; the message names the cure.
        """
        try:
            if error is None:
                self._defined.close()
        finally:
            super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]

    @property
    def _defined(self) -> SagaSteps:
        if self._steps is None:
            raise ValueError(f"saga {self.group_id!r}: define its steps in `with Saga(…) as saga:`")
        return self._steps

    def step(self, name: str, do: Call | Callable[..., Any] | Any, **arguments: Any) -> XComArg:
        """Define the next step; see ``SagaSteps.step``."""
        return self._defined.step(name, do, **arguments)

    def parallel(self) -> Any:
        """Steps that are defined in here run side by side, and what comes next follows all of them."""
        return self._defined.parallel()

    @property
    def verdict(self) -> XComArg:
        """How the saga ended: an object with ``state`` and ``steps``; a result only when it is completed."""
        return self._defined.verdict
