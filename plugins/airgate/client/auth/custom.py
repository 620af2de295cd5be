"""An auth of one's own, named in the connection."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from airgate.client.auth.protocol import Auth


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
        auth: Auth = kind(login=login, password=password, options=options)
    except Exception as error:
        # Its text is not ours, and may repeat the password.
        said = str(error).replace(password, "***") if password else str(error)
        raise ValueError(f"extra.auth_class: {name} could not be made: {type(error).__name__}: {said}") from None
    secrets = getattr(auth, "secrets", None)
    if not isinstance(secrets, tuple) or not all(isinstance(secret, str) for secret in secrets):
        raise ValueError(f"extra.auth_class: {name} must have secrets, a tuple of the texts that are never shown")
    return auth
