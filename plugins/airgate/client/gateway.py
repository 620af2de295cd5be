"""The settings of one gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airgate.client.auth import Auth, NoAuth
from airgate.policy.redaction import is_secret_name
from airgate.policy.retry import RetrySettings


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

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown: those of the auth, and of headers that are secret by name."""
        return (*self.auth.secrets, *(value for name, value in self.headers.items() if is_secret_name(name)))

    def __post_init__(self) -> None:
        split = urlsplit(self.base_url)
        if split.scheme not in {"http", "https"} or not split.hostname:
            raise ValueError(f"a gateway's address must be http(s)://host[:port][/prefix], not {self.base_url!r}")
        if split.username or split.password:
            raise ValueError("a gateway's address must not hold credentials; use the connection's auth fields")
        for name in ("connect_timeout", "read_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {getattr(self, name):g}")
        if self.max_response_bytes < 0:
            raise ValueError(f"max_response_bytes must be 0 or more, not {self.max_response_bytes}")
