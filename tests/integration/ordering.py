"""Clients that order through the gateway, and a stack that takes their orders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import requests

from stack.credentials import Credentials
from stack.environment import GATEWAY_AUDIENCE, GATEWAY_ISSUER
from tests.integration.example_stack import PROJECT, ExampleStack, example_stack, until

SHOP = ("inventory", "payments", "shipping")
ORDER: dict[str, Any] = {
    "customer": {"name": "Ada", "email": "ada@example.com"},
    "items": [{"sku": "eye-mask", "quantity": 2}],
    "address": {"street": "1 Quay", "city": "Delft", "postcode": "2611", "country": "NL"},
    "card": "tok_visa",
}


@dataclass(frozen=True)
class Client:
    """One who has a token of the gateway's issuer, and knows nothing of Airflow."""

    gateway: str
    secret: str
    name: str

    @property
    def token(self) -> str:
        """A fresh one."""
        claims = {"iss": GATEWAY_ISSUER, "aud": GATEWAY_AUDIENCE, "sub": self.name, "exp": time.time() + 120}
        return jwt.encode(claims, self.secret, "HS256")

    def ask(self, method: str, path: str, *, wait: int = 0, json: Any = None, **headers: str) -> requests.Response:
        """One request; ``wait`` is what it prefers, in seconds."""
        sent = {"Authorization": f"Bearer {self.token}", **({"Prefer": f"wait={wait}"} if wait else {}), **headers}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.gateway + path, json=json, headers=sent, timeout=90)

    def order(self, number: str, *, key: str | None = None, wait: int = 0, **changes: Any) -> requests.Response:
        """Order something."""
        order = {**ORDER, "order": number, **changes}
        return self.ask("POST", "/orders", wait=wait, json=order, **{"Idempotency-Key": key or uuid4().hex})

    def followed(self, place: str) -> dict[str, Any]:
        """Wait for the end of an order, by asking for it where its answer said; how it stands then."""

        def ended() -> dict[str, Any] | None:
            standing = self.ask("GET", place, wait=20)
            assert standing.status_code == 200, standing.text
            return standing.json() if standing.json()["state"] in {"success", "failed"} else None

        return until(ended, 0.1)


@dataclass(frozen=True)
class OrderStack:
    """A running one, whose services do not misbehave unless they are told to."""

    stack: ExampleStack
    secret: str

    def client(self, name: str) -> Client:
        """A client of the gateway."""
        return Client(self.stack.gateway, self.secret, name)

    def switch(self, service: str, **faults: Any) -> None:
        """Have a sample service misbehave."""
        with requests.Session() as session:
            session.trust_env = False
            session.post(f"{self.stack.services[service]}/-/faults", json=faults, timeout=30).raise_for_status()

    def done(self, number: str) -> dict[str, int]:
        """Collection -> how many effects there are for an order and were not taken back."""
        net: dict[str, int] = {}
        for service in SHOP:
            with requests.Session() as session:
                session.trust_env = False
                events = session.get(f"{self.stack.services[service]}/-/ledger", timeout=30).json()["events"]
            for event in events:
                if event["order"] == number and event["event"] in {"effect", "undo"}:
                    change = 1 if event["event"] == "effect" else -1
                    net[event["collection"]] = net.get(event["collection"], 0) + change
        return net


@contextmanager
def order_stack(home: Path, *more: Path) -> Iterator[OrderStack]:
    """Start it, with the example of orders and some DAG files more, named as their DAGs, and stop it at the end."""
    dags = home / "dags"
    dags.mkdir(parents=True)
    files = (PROJECT / "dags" / "order_fulfillment.py", *more)
    for path in files:
        (dags / path.name).symlink_to(path)
    with example_stack(home, tuple(path.stem for path in files), SHOP, dags) as stack:
        running = OrderStack(stack, Credentials.kept(home).gateway_jwt_secret)
        for service in SHOP:
            running.switch(service, preset="none")
        yield running
