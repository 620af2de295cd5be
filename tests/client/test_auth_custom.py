"""An auth of one's own, named in the connection."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from airgate.client.auth import Signing
from airgate.client.configure import gateway_from_fields
from airgate.client.message import Request

SECRET = "the-password-of-the-connection"


@dataclasses.dataclass
class Stamp:
    """What a user would write; its repr shows everything."""

    login: str | None
    password: str | None
    options: Mapping[str, Any]

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.password,) if self.password else ()

    def sign(self, request: Request, now: float) -> Signing:
        yield from ()
        return request.with_headers({"X-Stamp": f"{self.login}/{self.options['unit']}/{now:g}"})


class Picky(Stamp):
    def __init__(self, *, login: str | None, password: str | None, options: Mapping[str, Any]) -> None:
        raise KeyError(f"no unit for {password}")


class Open(Stamp):
    secrets = None  # type: ignore[assignment]


def configure(name: str, **extra: object) -> Any:
    fields = {"auth": "custom", "auth_class": name, **extra}
    return gateway_from_fields(host="gw.test", login="me", password=SECRET, extra=fields)


def test_the_class_gets_login_password_and_options() -> None:
    """And signs; the gateway's secrets are its secrets, and the gateway's repr does not show them."""
    gateway = configure(f"{__name__}:Stamp", auth_options={"unit": 7})
    with pytest.raises(StopIteration) as stop:
        next(gateway.auth.sign(Request("GET", "https://gw.test/"), 5.0))
    assert stop.value.value.headers == {"X-Stamp": "me/7/5"}
    assert gateway.secrets == (SECRET,)
    assert SECRET not in repr(gateway)
    assert SECRET in repr(gateway.auth), "this auth is careless, which makes the line above worth something"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "must be package.module:Class"),
        ("json.JSONDecoder", "must be package.module:Class"),
        ("no_such_module:Auth", "no_such_module cannot be imported"),
        ("json:NoSuchClass", "not a class with a sign method"),
        ("json:JSONDecoder", "not a class with a sign method"),
        ("os:system", "not a class with a sign method"),
        (f"{__name__}:Picky", "could not be made: KeyError"),
        (f"{__name__}:Open", "must have secrets"),
    ],
)
def test_a_wrong_class_is_named(name: str, said: str) -> None:
    """Without calling what is no auth, and without repeating the password."""
    with pytest.raises(ValueError, match=said) as caught:
        configure(name)
    assert "auth_class" in str(caught.value)
    assert SECRET not in str(caught.value)
