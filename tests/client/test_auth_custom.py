"""An auth of one's own, named in the connection."""

from __future__ import annotations

import dataclasses
import re
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from airgate.client.auth import NotSigned, Signing
from airgate.client.configure import gateway_from_fields
from airgate.client.message import Request
from airgate.policy.errors import GatewayError, Unauthorized, Unavailable
from tests.client.either_driver import Driver, EitherSession

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


class Broken(Stamp):
    def sign(self, request: Request, now: float) -> Signing:
        yield from ()
        raise RuntimeError(f"boom\n{self.password}")


class Careless(Stamp):
    def sign(self, request: Request, now: float) -> Signing:
        yield from ()
        return None  # type: ignore[return-value]


class Shut(Stamp):
    def sign(self, request: Request, now: float) -> Signing:
        yield from ()
        raise NotSigned("the vault is closed")


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


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        (
            "Broken",
            Unauthorized,
            r"{module}:Broken could not sign: RuntimeError: boom \*\*\* \(test_auth_custom.py, line \d+\)",
        ),
        ("Careless", Unauthorized, r"{module}:Careless signed with a NoneType, not a Request"),
        ("Shut", Unavailable, "authentication failed: the vault is closed"),
    ],
)
def test_what_goes_wrong_while_it_signs_is_an_error_of_the_call(
    driver: Driver, name: str, kind: type[GatewayError], said: str
) -> None:
    """It names call and class and shows no secret; what the class says itself of a call stays as it is."""
    gateway = configure(f"{__name__}:{name}", attempts=1)
    with EitherSession(driver.kind, gateway) as session, pytest.raises(kind) as caught:
        session.get("/orders")
    message = "".join(traceback.format_exception(caught.value))
    assert re.search(f"GET https://gw.test/orders: .*{said.format(module=re.escape(__name__))}", message)
    assert SECRET not in message


def test_it_is_still_the_class_that_the_connection_names() -> None:
    """By name and by what it can do."""
    auth = configure(f"{__name__}:Stamp", auth_options={"unit": 7}).auth
    assert isinstance(auth, Stamp)
    assert type(auth).__name__ == "Stamp"
    assert repr(auth).startswith("Stamp(")
