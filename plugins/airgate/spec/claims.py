"""What the claims of a verified token must say (RFC 7519, 4.1), checked in the order of the gateway."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from airgate.spec.javascript import MISSING, equal, truthy
from airgate.spec.refused import claim_failed, expired


@dataclass(frozen=True, slots=True)
class Expected:
    """What is asked of claims.

    `issuer` and `audience` list the accepted values: None when not configured, empty when configured as empty text;
    the claim must then be there, with any value. The rest is where strict mode asks more than the gateway does.
    """

    issuer: tuple[object, ...] | None = None
    audience: tuple[object, ...] | None = None
    expiry_required: bool = False
    leeway: float = 0.0
    """Seconds by which clocks may differ."""
    max_age: float | None = None
    """Seconds since `iat` after which a token is too old; None for any age."""

    def check(self, claims: Mapping[str, object], now: float) -> None:
        """Look at claims at a time, in seconds since 1970.

        Raises:
            Refused: a claim is missing or not as expected, or the token is too early, too late or too old.
        """
        if self.issuer is not None and not _accepted(self.issuer, claims, "iss"):
            raise claim_failed()
        if self.audience is not None and not _accepted(self.audience, claims, "aud"):
            raise claim_failed()
        self._check_times(claims, int(now))

    def _check_times(self, claims: Mapping[str, object], now: int) -> None:
        for name in ("iat", "nbf", "exp"):
            if name in claims and not self._is_time(claims[name]):
                raise claim_failed()
        if "nbf" in claims and cast(float, claims["nbf"]) > now + self.leeway:
            raise claim_failed()
        if "exp" in claims:
            if cast(float, claims["exp"]) <= now - self.leeway:
                raise expired()
        elif self.expiry_required:
            raise claim_failed()
        if self.max_age is not None:
            if "iat" not in claims:
                raise claim_failed()
            age = now - cast(float, claims["iat"])
            if age > self.max_age + self.leeway:
                raise expired()
            if age < -self.leeway:  # issued in the future: its age would mean nothing
                raise claim_failed()

    def _is_time(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return not self.expiry_required or math.isfinite(value)  # `1e999` is beyond every date


def accepted_values(settings: Mapping[str, object], key: str) -> tuple[object, ...] | None:
    """The accepted values of a setting that is a text or, outside the format, a list."""
    if key not in settings:
        return None
    value = settings[key]
    if not truthy(value):
        return ()
    return tuple(value) or (MISSING,) if isinstance(value, list) else (value,)


def _accepted(expected: tuple[object, ...], claims: Mapping[str, object], name: str) -> bool:
    if name not in claims:
        return False
    found = claims[name]
    values = found if name == "aud" and isinstance(found, list) else [found]
    return not expected or any(equal(wanted, value) for wanted in expected for value in values)
