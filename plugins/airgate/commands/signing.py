"""Signs a request by itself, to see what a connection's auth makes of it."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from airgate.client.auth import NoAuth
from airgate.client.effects import Ask, Wait
from airgate.client.message import Request, join_url
from airgate.client.session import GatewaySession

if TYPE_CHECKING:
    from airgate.client.gateway import Gateway

_ANY_STATUS = range(100, 600)


def sign(gateway: Gateway) -> Request:
    """A GET of the health path, signed but not sent. Only a token endpoint is asked, where the auth has one.

    Raises:
        ValueError: The auth cannot sign.
        GatewayError: The token endpoint gave no token.
    """
    signing = gateway.auth.sign(Request("GET", join_url(gateway.base_url, gateway.health_path)), time.time())
    # The token request signs itself, and gets none of the gateway's headers.
    with GatewaySession(dataclasses.replace(gateway, auth=NoAuth(), headers={})) as session:
        try:
            wanted = next(signing)
            while True:
                if isinstance(wanted, Wait):
                    time.sleep(wanted.seconds)
                    wanted = signing.send(None)
                elif isinstance(wanted, Ask):
                    wanted = signing.send(wanted.question())
                else:
                    wanted = signing.send(session.call(wanted, expect=_ANY_STATUS))
        except StopIteration as stop:
            signed: Request = stop.value
            return signed
        finally:
            signing.close()
