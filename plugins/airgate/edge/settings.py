"""How the edge treats upstreams."""

from dataclasses import dataclass

from airgate.spec.config import Mode


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of one call to an upstream, in seconds; None means no limit."""

    connect_timeout: float | None
    """Until the connection stands, waiting for a name server and a TLS handshake included."""

    total_timeout: float | None
    """From the first attempt to connect until the last byte of the answer."""

    read_timeout: float | None = None
    """Of silence of a server, between any two of its bytes."""

    @classmethod
    def of(cls, mode: Mode) -> "Settings":
        """The defaults: 5 s and 300 s in strict mode, no limits in compatible mode, like the gateway."""
        return cls(5.0, 300.0) if mode == "strict" else cls(None, None)
