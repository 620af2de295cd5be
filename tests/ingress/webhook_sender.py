"""A sender of webhooks: signs as those do that are taken in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

NEW, OLD, FOREIGN = (f"{name}-secret-of-the-tests-0123456789" for name in ("new", "old", "foreign"))


def raw_of(body: Any) -> bytes:
    """The bytes of a body; bytes are taken as they are."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def mac(secret: str, content: bytes) -> bytes:
    """What is signed, signed."""
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def standard(body: Any, name: str | None = None, secret: str = NEW, age: int = 0) -> dict[str, Any]:
    """A delivery by Standard Webhooks: ``data`` and ``headers`` of a request."""
    raw, name, at = raw_of(body), name or f"msg_{uuid4().hex}", int(time.time()) - age
    signature = base64.b64encode(mac(secret, f"{name}.{at}.".encode() + raw)).decode()
    headers = {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}
    return {"data": raw, "headers": {"Content-Type": "application/json", **headers}}


def github(body: Any, name: str, event: str = "push", secret: str = NEW) -> dict[str, Any]:
    """A delivery of GitHub."""
    raw = raw_of(body)
    headers = {
        "X-Hub-Signature-256": f"sha256={mac(secret, raw).hex()}",
        "X-GitHub-Delivery": name,
        "X-GitHub-Event": event,
    }
    return {"data": raw, "headers": {"Content-Type": "application/json", **headers}}


def plain(body: Any, secret: str = NEW, age: int = 0) -> dict[str, Any]:
    """A delivery of a sender that signs ``time.body``."""
    raw, at = raw_of(body), str(int(time.time()) - age)
    signature = base64.b64encode(mac(secret, f"{at}.".encode() + raw)).decode()
    return {"data": raw, "headers": {"Content-Type": "application/json", "X-Sig": signature, "X-Time": at}}
