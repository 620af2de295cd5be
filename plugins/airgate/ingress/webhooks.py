"""The endpoint of signed webhooks: a delivery makes a run, or is an event of an asset."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airgate.client import clock
from airgate.edge.rates import MemoryRates
from airgate.ingress.dags import IngressDags
from airgate.ingress.params import unstorable
from airgate.ingress.problem import problem
from airgate.ingress.reading import Refusal, body_of, object_of
from airgate.ingress.registering import NoSuchAsset, register
from airgate.ingress.starting import CannotRun, DoesNotFit, KeyReused, NoSuchDag, start
from airgate.ingress.webhook_settings import ISSUER, Webhook, WebhookSettings, stranger
from airgate.policy.events.batch import slices
from airgate.policy.events.event import Event, NotAnEvent
from airgate.policy.idempotency import json_digest
from airgate.policy.ingress_run import Identity
from airgate.policy.limits import Scope
from airgate.policy.webhook_event import Delivery
from airgate.policy.webhook_signature import NotSigned, OutsideWindow, verify

log = logging.getLogger(__name__)

_SETTINGS_SECONDS = 60.0
"""How long the settings are kept: to read them may mean to ask a secrets backend, and anybody may send requests."""
_MOST_REMEMBERED = 10_000
"""Deliveries to assets, in this process."""
_LATER = {"Retry-After": "10"}
_NOT_SET_UP = {"Retry-After": "60"}
_NO_STORE = {"Cache-Control": "no-store"}


class WebhookEndpoint:
    """Answers ``POST /webhooks/{name}``; the signature is the only credential."""

    def __init__(self) -> None:
        self._dags = IngressDags()
        self._rates = MemoryRates()
        self._stranger = stranger()
        self._settings: WebhookSettings | None = None
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._registered: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def __call__(self, request: Request) -> Response:
        """Say what became of a delivery."""
        try:
            return await self._deliver(request)
        except Refusal as refusal:
            return refusal.answer
        except Exception:
            log.exception("a webhook could not be delivered")
            return problem(503, "The delivery could not be taken; send it again later.", _LATER)

    async def _deliver(self, request: Request) -> Response:
        settings = await self._known()
        raw = await body_of(request, settings.largest)
        webhook = settings.webhooks.get(request.path_params["name"], self._stranger)
        headers = _single(request)
        self._admit(webhook, headers, raw)
        delivery = Delivery(headers, raw, object_of(request, raw, "what the sender tells"))
        if wrong := unstorable(dict(delivery.body)):
            raise _misfit([{"pointer": fault.pointer, "detail": fault.detail} for fault in wrong])
        try:
            delivery_id = webhook.reading.id_of(delivery)
            if webhook.dag is not None and not webhook.as_event:
                return await self._run(webhook, webhook.dag, delivery_id, dict(delivery.body))
            event = webhook.reading.event_of(delivery, webhook.name, delivery_id)
        except NotAnEvent as error:
            raise _misfit([{"detail": str(error)}]) from None
        if webhook.dag is not None:
            return await self._run(webhook, webhook.dag, delivery_id, {"event": event.to_json()})
        assert webhook.asset is not None
        return await self._register(webhook, webhook.asset, delivery_id, event)

    async def _known(self) -> WebhookSettings:
        async with self._reading:
            if self._settings is None or clock.now() - self._read_at > _SETTINGS_SECONDS:
                self._settings = None  # what has become nonsense is not gone by any more
                try:
                    self._settings = await asyncio.to_thread(WebhookSettings.read)
                except ValueError as error:
                    log.error("webhooks are not set up: %s", error)  # noqa: TRY400 - a setting is to be changed
                    raise Refusal(problem(503, "Webhooks are not set up here.", _NOT_SET_UP)) from None
                self._read_at = clock.now()
        if not self._settings.webhooks:
            raise Refusal(problem(404, "There is nothing at this address."))
        return self._settings

    def _admit(self, webhook: Webhook, headers: Mapping[str, str], raw: bytes) -> None:
        """Check signature, size and rate, which cost no question to the database.

        A name that is none is refused as a forged delivery is. Whoever has no secret cannot use up a sender's rate.
        """
        try:
            verify(webhook.scheme, webhook.secrets, headers, raw, clock.now())
        except NotSigned:
            raise Refusal(problem(401, "The delivery is not signed as it must be.")) from None
        except OutsideWindow as error:
            log.warning("webhook %s: a delivery was refused that is %s", webhook.name, error)
            allowed = f"{webhook.scheme.tolerance} are allowed"
            said = f"The delivery is {error}, {allowed}: it is an old one that is sent again, or a clock is wrong."
            raise Refusal(problem(401, said)) from None
        if len(raw) > webhook.largest:
            raise Refusal(problem(413, f"At most {webhook.largest} bytes are taken."))
        if webhook.rate:
            turn = self._rates.take_now([Scope(f"webhook {webhook.name}", webhook.rate)])
            if not turn.granted:
                again = {"Retry-After": str(int(turn.wait) + 1)}
                raise Refusal(problem(429, "You send more deliveries than are taken from one sender.", again))

    async def _run(self, webhook: Webhook, dag_id: str, delivery_id: str, params: dict[str, Any]) -> Response:
        identity = Identity(ISSUER, webhook.name)
        try:
            started = await asyncio.to_thread(start, self._dags, dag_id, identity, delivery_id, params)
        except NoSuchDag:
            log.error(  # noqa: TRY400 - a setting is to be changed
                "webhook %s: DAG %s is not there, or has no tag airgate:ingress: give it the tag, or correct "
                "[airgate] ingress_webhooks",
                webhook.name,
                dag_id,
            )
            raise Refusal(problem(503, "Nothing takes this delivery now; send it again later.", _NOT_SET_UP)) from None
        except CannotRun as error:
            raise Refusal(problem(409, str(error))) from None
        except KeyReused:
            raise _other_body() from None
        except DoesNotFit as error:
            wrong = ", ".join(fault.pointer for fault in error.faults)
            log.warning("webhook %s: a delivery does not fit the params of DAG %s: %s", webhook.name, dag_id, wrong)
            raise _misfit([{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]) from None
        return _taken(delivery_id, {"run_id": started.run_id}, replayed=started.replayed)

    async def _register(self, webhook: Webhook, asset: str, delivery_id: str, event: Event) -> Response:
        name, told = (webhook.name, delivery_id), {"event": {"source": event.source, "id": event.id}}
        body = json_digest(event.to_json())
        if (known := self._registered.get(name)) is not None:
            if known != body:
                raise _other_body()
            return _taken(delivery_id, told, replayed=True)
        [batch] = slices([event])
        if batch.unreadable:
            raise _misfit([{"detail": batch.unreadable[0].why}])
        try:
            await asyncio.to_thread(register, asset, webhook.name, batch)
        except NoSuchAsset:
            log.error(  # noqa: TRY400 - a setting is to be changed
                "webhook %s: no DAG that Airflow knows has an asset named %s: schedule one on it, or correct "
                "[airgate] ingress_webhooks",
                webhook.name,
                asset,
            )
            raise Refusal(problem(503, "Nothing takes this delivery now; send it again later.", _NOT_SET_UP)) from None
        self._registered[name] = body
        while len(self._registered) > _MOST_REMEMBERED:
            self._registered.popitem(last=False)
        return _taken(delivery_id, told, replayed=False)


def _single(request: Request) -> dict[str, str]:
    """The headers that came once: of two signatures or ids nobody can say which one is meant."""
    pairs = request.headers.items()
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if counts[name] == 1}


def _taken(delivery_id: str, told: Mapping[str, Any], *, replayed: bool) -> Response:
    more = {"Idempotent-Replayed": "true"} if replayed else {}
    return JSONResponse({"delivery": delivery_id, **told}, 202, {**_NO_STORE, **more})


def _other_body() -> Refusal:
    return _misfit([{"detail": "Another delivery came under this id: send the same one, or another id."}])


def _misfit(errors: list[dict[str, str]]) -> Refusal:
    return Refusal(problem(422, "The delivery does not fit.", members={"errors": errors}))
