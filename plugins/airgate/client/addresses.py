"""Which addresses a guarded connection may be opened to.

A name that a stranger can influence, or a redirect of DNS, must not make a worker talk to what only the worker can
reach: its own ports, the cloud's metadata service, the company's network. Drivers ask about the *resolved* address that
they are about to use, since a name can resolve to another address the next time.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

_Address = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")
_ALSO_SPECIAL: tuple[IPv4Network | IPv6Network, ...] = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "5f00::/16", "3fff::/20", "fec0::/10"))
)
"""What some of the supported Python versions take for public."""


def allowed(address: str | _Address, base_url: str) -> bool:
    """Whether a guarded gateway may be reached, or one of its helpers such as a token endpoint, at this address.

    Public unicast addresses are allowed. Loopback, link-local, private, shared (CGNAT), multicast, unspecified and
    reserved ones (IANA's special-purpose registries) are not, also where they are wrapped in an IPv6 address. The one
    exception is an address that stands in the connection's own host, or loopback where that host is ``localhost``: who
    wrote it there meant it.

    Args:
        address: A resolved IP address; an IPv6 zone is passed over. What is no IP address is not allowed.
        base_url: The gateway's address.
    """
    try:
        bare = _bare(address)
    except ValueError:
        return False
    return _is_public(bare) or _is_named(bare, urlsplit(base_url).hostname or "")


def _is_public(address: _Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    return address.is_global and not special and not any(address in network for network in _ALSO_SPECIAL)


def _is_named(address: _Address, host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return address.is_loopback
    try:
        return address == _bare(host)
    except ValueError:
        return False


def _bare(address: str | _Address) -> _Address:
    """The address without zone, and the IPv4 address that a mapped, 6to4, Teredo or NAT64 one leads to."""
    parsed = ip_address(address.partition("%")[0] if isinstance(address, str) else address)
    if not isinstance(parsed, IPv6Address):
        return parsed
    if parsed.ipv4_mapped:
        return parsed.ipv4_mapped
    if parsed.sixtofour:
        return parsed.sixtofour
    if parsed.teredo:
        return parsed.teredo[1]
    if parsed in _NAT64:
        return IPv4Address(int(parsed) & 0xFFFFFFFF)
    return parsed
