"""A notifier that tells what happened as a CloudEvent, posted through the gateway."""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airgate.client import clock
from airgate.hooks.call import Call, with_key
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.waits import long_wait
from airgate.notifications.occasion import Occasion
from airgate.policy.errors import GatewayError
from airgate.policy.events.cloudevent import MODES, Mode, to_message
from airgate.policy.events.event import Event
from airgate.policy.idempotency import digest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.client.message import Request

log = logging.getLogger(__name__)

_PURPOSE = "notification"


class CloudEventNotifier(BaseNotifier):
    """Posts a CloudEvent 1.0 to a path behind the gateway, again until it is taken or ``deadline`` seconds are over.

    For ``on_success_callback``, ``on_failure_callback`` and the like of tasks and DAGs, for a saga's ``notifiers`` and
    for deadline alerts. What cannot be told is logged as an error; no task and no run fails by it.

    The same event has the same ``id`` and the same ``Idempotency-Key`` whenever it is told, so a service that honours
    either takes it once.

    Args:
        path: Where it is posted, below the gateway's address.
        type: Of the event, such as ``com.example.order.failed``.
        source: Who tells it; None for ``/dags/DAG``.
        subject: What it is about; None for the run's id.
        data: What else there is to know, with templates; None for what happened: DAG, run, task, outcome. Nobody masks
            what stands here: it is what the service is told.
        id: The event's name; None for one that is made of DAG, run, task, map index, type and outcome.
        mode: ``structured``: all of it is the body. ``binary``: the body is the data, the rest stands in headers.
        deadline: Seconds that it may take in all, attempts and waits included. A worker is held for so long, and the
            DAG processor ends what takes 50 s (``[dag_processor] dag_file_processor_timeout``).
        gateway_conn_id: Connection of type ``gateway``.
        context: Given by Airflow where the notifier is awaited.

    Raises:
        ValueError: Naming the argument that cannot be right.
    """

    template_fields: Sequence[str] = ("gateway_conn_id", "path", "type", "source", "subject", "data", "id")

    def __init__(
        self,
        *,
        path: str,
        type: str,  # noqa: A002 - as CloudEvents calls it
        source: str | None = None,
        subject: str | None = None,
        data: Any = None,
        id: str | None = None,  # noqa: A002
        mode: Mode = "structured",
        deadline: float = 30.0,
        gateway_conn_id: str = GatewayHook.default_conn_name,
        context: Context | None = None,
    ) -> None:
        super().__init__(context)
        self.path = path
        self.type = type
        self.source = source
        self.subject = subject
        self.data = data
        self.id = id
        self.mode = mode
        self.deadline = deadline
        self.gateway_conn_id = gateway_conn_id
        self._check()

    def _check(self) -> None:
        for name in ("path", "type", "gateway_conn_id"):
            if not isinstance(value := getattr(self, name), str) or not value:
                raise ValueError(f"CloudEventNotifier: {name} must be a text that is not empty, not {value!r}")
        if self.mode not in MODES:
            raise ValueError(f"CloudEventNotifier: mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        if isinstance(self.deadline, bool) or not isinstance(self.deadline, int | float) or self.deadline <= 0:
            raise ValueError(f"CloudEventNotifier: deadline must be seconds, more than 0, not {self.deadline!r}")

    def __call__(self, *args: Any) -> None:
        """Tell what has happened; Airflow and sagas call it with the context."""
        # A copy is rendered, as there is no way back and one notifier may serve all tasks of a DAG; and the context is
        # a copy, as what comes after must not find our fields in it.
        told = copy.copy(self)
        super(CloudEventNotifier, told).__call__(*(dict(each) if isinstance(each, Mapping) else each for each in args))

    def __await__(self) -> Generator[Any, Any, None]:
        """Tell it from within an event loop; the context is the argument of that name."""
        told = copy.copy(self)
        told.context = dict(self.context)  # type: ignore[assignment]
        return super(CloudEventNotifier, told).__await__()

    def notify(self, context: Context) -> None:
        """Post the event; ``__call__`` has rendered the fields."""
        try:
            event = self.event(context)
            with GatewayHook(self.gateway_conn_id) as hook:
                self._post(hook, self._request(hook, event))
            log.info("told %s %s of %s", event.type, event.id, event.source)
        except (GatewayError, ValueError) as error:
            self._say_lost(error)

    async def async_notify(self, context: Context) -> None:
        """Do what ``notify`` does without holding up the event loop."""
        hook = GatewayHook(self.gateway_conn_id)
        try:
            event = self.event(context)
            request = await self._request_beside_the_loop(hook, event)
            await self._apost(hook, request)
            log.info("told %s %s of %s", event.type, event.id, event.source)
        except (GatewayError, ValueError) as error:
            self._say_lost(error)
        finally:
            await hook.aclose()

    def event(self, context: Mapping[str, Any]) -> Event:
        """The event that is told, of fields that are rendered.

        Raises:
            ValueError: The context is of no callback, or the fields make no event.
        """
        occasion = Occasion.of(context)
        identity = digest(("notification", self.type, *occasion.identity))[:32]
        return Event(
            source=self.source or f"/dags/{occasion.dag_id}",
            id=self.id or identity,
            type=self.type,
            # Only what is the same when it is told again: a service may refuse another body under the key.
            time=occasion.ended,
            subject=self.subject or occasion.run_id,
            data=occasion.to_json() if self.data is None else self.data,
        )

    def _post(self, hook: GatewayHook, request: Request) -> None:
        ends = clock.now() + self.deadline
        while True:
            try:
                hook.send(request, deadline=ends)
            except GatewayError as error:
                clock.sleep(_wait_before(ends, error, hook))
            else:
                return

    async def _apost(self, hook: GatewayHook, request: Request) -> None:
        ends = clock.now() + self.deadline
        while True:
            try:
                await hook.asend(request, deadline=ends)
            except GatewayError as error:
                await clock.asleep(_wait_before(ends, error, hook))
            else:
                return

    def _request(self, hook: GatewayHook, event: Event) -> Request:
        headers, body = to_message(event, self.mode)
        request = hook.request(Call("POST", self.path, data=body, headers=headers))
        # Whoever takes events takes each once, by its source and id if not by this: so it may be sent again.
        return with_key(request, event.key(_PURPOSE), hook.gateway.idempotency_header, relied=True)

    async def _request_beside_the_loop(self, hook: GatewayHook, event: Event) -> Request:
        import asyncio

        # The connection is asked for in ways that block.
        return await asyncio.to_thread(self._request, hook, event)

    def _say_lost(self, error: Exception) -> None:
        log.error(
            "the event %s was not told to %s of connection %s, and will not be told again: %s",
            *(self.type, self.path, self.gateway_conn_id, error),
        )


def _wait_before(ends: float, error: GatewayError, hook: GatewayHook) -> float:
    """Seconds of a long wait that is spent here, as nobody comes back to a callback.

    Raises:
        GatewayError: The one that was given: it is over.
    """
    wait = long_wait(error, hook.gateway)
    if wait is None or clock.now() + wait >= ends:
        raise error
    return wait
