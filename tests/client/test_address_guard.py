"""The address guard on real sockets, for both drivers."""

from __future__ import annotations

import pytest

from airgate.client.auth import OAuth2Auth, TokenEndpoint
from airgate.client.gateway import Gateway
from airgate.policy.errors import Unavailable
from airgate.policy.retry import RetrySettings
from tests.client.either_driver import Driver
from tests.scripted_server import Answer, ScriptedServer

ONCE = RetrySettings(attempts=1, deadline=5)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", ""),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
    ],
)
def test_no_form_of_an_address_passes_the_guard(
    driver: Driver, server: ScriptedServer, host: str, address: str
) -> None:
    """A token endpoint on loopback gets no client secret, and both drivers say the same of it."""
    server.answers = [Answer(body=b'{"access_token": "t", "expires_in": 300}')]
    endpoint = TokenEndpoint(f"http://{host}:{server.port}/token")
    auth = OAuth2Auth("me", f"hunter2-{driver.kind}-{host}", endpoint)
    guarded = driver.session("http://gateway.example", auth=auth, address_guard=True, retry=ONCE)
    with guarded as session, pytest.raises(Unavailable) as caught:
        session.get()
    assert not server.connections
    assert f"address_guard does not let {host.strip('[]')} be {address}" in str(caught.value)


def test_what_the_connection_names_is_reached(driver: Driver, server: ScriptedServer) -> None:
    """Loopback, where the connection's own host is that address."""
    with driver.session(f"http://127.0.0.1:{server.port}", address_guard=True) as session:
        assert session.get().status == 200


def test_without_the_guard_every_address_is_reached(driver: Driver, server: ScriptedServer) -> None:
    """It is a choice of the connection."""
    assert not Gateway(server.url).address_guard
    with driver.session(f"http://[::ffff:127.0.0.1]:{server.port}") as session:
        assert session.get().status == 200
