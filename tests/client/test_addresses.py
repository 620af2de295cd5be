"""Which addresses a guarded connection opens."""

from __future__ import annotations

import pytest

from airgate.client.addresses import allowed
from airgate.client.gateway import Gateway

PUBLIC = "https://api.example.com"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "192.88.99.1",
        "fec0::1",
        "no address",
        "",
    ],
)
def test_what_only_the_worker_reaches_is_refused(address: str) -> None:
    """Loopback, link-local, private, shared, multicast and reserved ones, also wrapped in IPv6."""
    assert not allowed(address, PUBLIC)


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "172.32.0.1",
        "100.128.0.1",
        "2606:2800:220:1::1",
        "::ffff:93.184.216.34",
        "64:ff9b::5db8:d822",
        "2002:5db8:d822::1",
    ],
)
def test_public_addresses_are_allowed(address: str) -> None:
    """Whatever the form that they are written in."""
    assert allowed(address, PUBLIC)


@pytest.mark.parametrize(
    ("address", "base_url", "expected"),
    [
        ("10.1.2.3", "http://10.1.2.3:8080/v1", True),
        ("::ffff:10.1.2.3", "http://10.1.2.3", True),
        ("10.1.2.4", "http://10.1.2.3", False),
        ("::1", "http://[::1]:8080", True),
        ("127.0.0.1", "http://localhost:8080", True),
        ("::1", "http://localhost", True),
        ("10.0.0.1", "http://localhost", False),
        ("127.0.0.1", "http://127.0.0.1.example.com", False),
    ],
)
def test_an_address_that_the_connection_names_is_meant(address: str, base_url: str, expected: bool) -> None:
    """The one exception: the host itself, where it is written as that address."""
    assert allowed(address, base_url) is expected


def test_the_guard_is_a_choice_of_the_connection() -> None:
    """Without it every address may be connected to."""
    assert Gateway(PUBLIC).may_connect("10.0.0.1")
    assert not Gateway(PUBLIC, address_guard=True).may_connect("10.0.0.1")


def test_a_guard_behind_a_proxy_is_refused() -> None:
    """The proxy would look names up by itself: a guard that guards nothing must not look like one."""
    with pytest.raises(ValueError, match="address_guard cannot hold behind a proxy"):
        Gateway(PUBLIC, address_guard=True, proxy="http://proxy.test:3128")
