"""What the arguments of a trigger may hold, which Airflow stores where many can read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airgate.policy.redaction import is_secret_name


def refuse_secrets(query: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Refuse what looks like a credential: what a trigger is made of is stored where many can read it.

    Raises:
        ValueError: Naming the parameter or header, not its value.
    """
    for what, names in (("query", query), ("headers", headers)):
        for name in names:
            if is_secret_name(name):
                raise ValueError(
                    f"{what}: {name!r} looks like a secret, and a trigger's arguments are stored in plain text; let "
                    "the connection sign, or put it into the connection's headers"
                )
