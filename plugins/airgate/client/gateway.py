"""The settings of one gateway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from airgate.client.addresses import allowed
from airgate.client.auth import Auth, NoAuth
from airgate.policy.idempotency import HEADER
from airgate.policy.limits import ConnectionLimits
from airgate.policy.redaction import is_secret_header, redact_sent_headers
from airgate.policy.retry import RetrySettings

if TYPE_CHECKING:
    from airgate.policy.breaker import BreakerSettings


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the gateway is and how it is called. Times are seconds."""

    base_url: str
    """Scheme, host, port and, where the gateway has one, a path prefix."""
    auth: Auth = field(default_factory=NoAuth)
    retry: RetrySettings = field(default_factory=RetrySettings)
    connect_timeout: float = 5.0
    """Longest wait for a connection, per attempt."""
    read_timeout: float = 60.0
    """Longest silence while waiting for the answer, per attempt."""
    max_response_bytes: int = 100 * 2**20
    """Bytes that an answer may have once its content codings are removed; 0 means no limit."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""
    verify: bool | str = True
    """Whether the server's certificate is checked, or the path of the CA bundle to check it with."""
    health_path: str = "/"
    """What ``test_connection`` asks for."""
    proxy: str | None = None
    """Address of the forward proxy; None leaves the choice to ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``."""
    client_cert: str | None = None
    """Path of the PEM file with the client's certificate chain (mTLS), and its key where ``client_key`` is None."""
    client_key: str | None = None
    """Path of the PEM file with the certificate's private key."""
    address_guard: bool = False
    """Whether connections to addresses of this machine, of private and of other special networks are refused."""
    idempotency: Literal["honoured", "sent", "off"] = "sent"
    """Whether unsafe calls carry a key, and whether the service is known to honour it."""
    idempotency_header: str = HEADER
    """The header that carries the key."""
    long_wait: Literal["defer", "retry", "inline"] = "defer"
    """What a wait beyond ``retry.max_inline_wait`` becomes."""
    task_deadline: float = 0.0
    """Seconds for a call over all tries of its task, until the task is cleared; 0 for no limit."""
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    """How often and how many at once, shared by all processes; empty for no limits."""
    breaker: BreakerSettings | None = None
    """When calls are held back from a failing upstream; None for never."""
    openapi: str | None = None
    """Where the OpenAPI document is: a path below the gateway, a file, or ``package://package.name/path``."""
    own_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Those that stand in the connection, without the tokens that come and go: what stays the same seals with them."""

    def may_connect(self, address: str) -> bool:
        """Whether a connection to this resolved IP address may be opened, by ``address_guard``."""
        return not self.address_guard or allowed(address, self.base_url)

    def __repr__(self) -> str:
        # The generated one would show secret headers, and whatever an auth of one's own shows.
        shown = {member.name: getattr(self, member.name) for member in fields(self)}
        shown |= {"auth": type(self.auth).__name__, "headers": redact_sent_headers(self.headers)}
        del shown["own_secrets"]
        return f"Gateway({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown: those of the auth, and of headers that are not known to be harmless."""
        return (*self.auth.secrets, *(value for name, value in self.headers.items() if is_secret_header(name, value)))

    def __post_init__(self) -> None:
        _http_address("a gateway's address", "http(s)://host[:port][/prefix]", self.base_url)
        for name in ("connect_timeout", "read_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {getattr(self, name):g}")
        if self.task_deadline < 0:
            raise ValueError(f"task_deadline must be 0 or more seconds, not {self.task_deadline:g}")
        if self.max_response_bytes < 0:
            raise ValueError(f"max_response_bytes must be 0 or more, not {self.max_response_bytes}")
        if self.client_key and not self.client_cert:
            raise ValueError("client_key needs client_cert: the certificate that belongs to the key")
        if self.proxy is not None:
            _http_address("proxy", "http(s)://host[:port]", self.proxy)
            if self.address_guard:
                raise ValueError("address_guard cannot hold behind a proxy, which looks names up itself; filter there")
        if not _TOKEN.fullmatch(self.idempotency_header):
            raise ValueError(f"idempotency_header must be the name of a header, not {self.idempotency_header!r}")


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name, by RFC 9110, 5.6.2."""


def _http_address(what: str, form: str, url: str) -> None:
    try:
        split = urlsplit(url)
        port_is_number = split.port is None or split.port > 0
    except ValueError as error:
        raise ValueError(f"{what} must be {form}: {error}") from None
    if split.username or split.password:
        cure = "set HTTPS_PROXY in the environment" if what == "proxy" else "use the connection's auth fields"
        raise ValueError(f"{what} must not hold credentials; {cure}")
    if "?" in url or "#" in url:
        # Not shown: it may be a key.
        raise ValueError(f"{what} must be {form}, without a query or fragment; auth=api_key sends a key in the query")
    if split.scheme not in {"http", "https"} or not split.hostname or not port_is_number:
        raise ValueError(f"{what} must be {form}, not {url!r}")
