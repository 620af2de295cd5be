"""Who sent a request, and what is told to the upstream about it: forwarding headers that cannot be made up.

The address on the other end of the connection is certain. What it says about others counts only when it is a trusted
proxy; else its forwarding headers are dropped and written anew.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from airgate.spec.extension import UNIX
from airgate.spec.message import Request

Header = tuple[str, str]

NAMES = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"}) | {
    "x-forwarded-server",
    "x-forwarded-prefix",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
}
"""Headers by which proxies tell of the client, in small letters; a client's own copies of them are dropped."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a request comes from: the client's address, and the forwarding headers for the upstream."""

    address: str
    headers: tuple[Header, ...]
    trusted: bool
    """Whether the peer is a trusted proxy, so that its word about the client counts."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The trusted proxies of a file."""

    networks: tuple[_Network, ...] = ()
    unix: bool = False

    @classmethod
    def of(cls, listed: Sequence[str]) -> "Proxies":
        """The proxies of a list of addresses and networks, `unix` for those behind a Unix socket.

        Raises:
            ValueError: an entry is none of these.
        """
        networks = tuple(ipaddress.ip_network(entry) for entry in listed if entry != UNIX)
        return cls(networks, UNIX in listed)

    def trusts(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy; what is no address is not."""
        if address == UNIX:
            return self.unix
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self.networks)

    def sender(self, peer: str | None, scheme: str, request: Request) -> Sender:
        """Who sent a request.

        Args:
            peer: Address on the other end of the connection; None on a Unix socket.
            scheme: `http` or `https`, of that connection.
            request: The request, whose own forwarding headers count only from a trusted peer.
        """
        near = peer or UNIX
        host = request.header("host") or ""
        if not (self.networks or self.unix) or not self.trusts(near):
            return _stranger(near, host, scheme)
        chain = [part.strip() for part in (request.header("x-forwarded-for") or "").split(",") if part.strip()]
        place, address = len(chain), near
        while place and self.trusts(address) and _is_address(chain[place - 1]):
            place -= 1
            address = chain[place]
        host = request.header("x-forwarded-host") or host
        told = request.header("x-forwarded-proto")
        scheme = told if told in ("http", "https") else scheme
        return Sender(address, _told([*chain[place:], near], host, scheme), trusted=True)


@lru_cache(maxsize=4096)
def _stranger(address: str, host: str, scheme: str) -> Sender:
    """A peer that is no trusted proxy; a connection asks the same again and again."""
    return Sender(address, _told([address], host, scheme), trusted=False)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _told(chain: Sequence[str], host: str, scheme: str) -> tuple[Header, ...]:
    """The headers for the upstream: the de facto ones, and `Forwarded` (RFC 7239)."""
    told = [("x-forwarded-for", ", ".join(chain)), ("x-forwarded-proto", scheme)]
    elements = [f"for={_node(address)}" for address in chain]
    elements[0] += f";proto={scheme}"
    if host and '"' not in host and "\\" not in host and "," not in host:
        told.append(("x-forwarded-host", host))
        elements[0] += f';host="{host}"'
    return (*told, ("forwarded", ", ".join(elements)))


def _node(address: str) -> str:
    """A node of `Forwarded`: IPv6 addresses in brackets and quotes; without an address, a name that is made up."""
    if address == UNIX:
        return "_unix"
    return f'"[{address}]"' if ":" in address else address
