"""An auth of one's own, named in the connection."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from airgate.client.auth.protocol import Auth, Signing
from airgate.client.message import Request
from airgate.policy.errors import GatewayError, Unauthorized
from airgate.policy.redaction import one_line, redact_text


def load_auth(name: str | None, login: str | None, password: str | None, options: Mapping[str, Any]) -> Auth:
    """The auth that a connection names.

    Args:
        name: ``package.module:Class``. The class is called with ``login``, ``password`` and ``options`` as keywords and
            gives an ``airgate.client.auth.Auth``.
        login: Of the connection.
        password: Of the connection.
        options: ``extra.auth_options``.

    Raises:
        ValueError: Saying what is wrong with the name, the class or its arguments.
    """
    module_name, colon, class_name = (name or "").partition(":")
    if not colon or not module_name or not class_name:
        raise ValueError(f"extra.auth_class must be package.module:Class for auth=custom, not {name!r}")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"extra.auth_class: {module_name} cannot be imported ({error})") from None
    kind = getattr(module, class_name, None)
    # Before it is called: whoever may edit a connection shall not run just any callable.
    if not isinstance(kind, type) or not callable(getattr(kind, "sign", None)):
        raise ValueError(f"extra.auth_class: {name} is not a class with a sign method")  # noqa: TRY004
    try:
        auth: Auth = _naming_itself(kind, str(name))(login=login, password=password, options=options)
    except Exception as error:
        # Its text is not ours, and may repeat the password.
        said = str(error).replace(password, "***") if password else str(error)
        raise ValueError(f"extra.auth_class: {name} could not be made: {type(error).__name__}: {said}") from None
    secrets = getattr(auth, "secrets", None)
    if not isinstance(secrets, tuple) or not all(isinstance(secret, str) for secret in secrets):
        raise ValueError(f"extra.auth_class: {name} must have secrets, a tuple of the texts that are never shown")
    return auth


def _naming_itself(kind: type[Any], name: str) -> type[Any]:
    """The class, with a ``sign`` whose failures are errors of the call that say where they come from."""

    def sign(self: Any, request: Request, now: float) -> Signing:
        try:
            signed: object = yield from kind.sign(self, request, now)
        except GatewayError:
            raise
        except Exception as error:
            raise _failed(request, f"{name} could not sign: {_told(error)}", self.secrets) from None
        if not isinstance(signed, Request):
            raise _failed(request, f"{name} signed with a {type(signed).__name__}, not a Request", self.secrets)
        return signed

    members = {"sign": sign, "__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), members)


def _failed(request: Request, reason: str, secrets: Collection[str]) -> Unauthorized:
    said = redact_text(one_line(f"extra.auth_class: {reason}"), secrets)
    return Unauthorized(said, method=request.method, url=request.safe_url)


def _told(error: Exception) -> str:
    """Kind and text of an error, and the line that raised it: its traceback may show what is secret."""
    where, trace = "", error.__traceback__
    while trace is not None:
        where, trace = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})", trace.tb_next
    return f"{type(error).__name__}: {error}{where}"
