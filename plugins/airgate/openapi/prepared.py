"""A call that is ready to be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """What an operation's arguments come to; the fields are those of ``GatewayHook.call``.

    Values stay apart from the path they belong to: escaping them is the work of whoever builds the URL.
    """

    method: str
    path: str
    """Path template below the gateway, such as ``/orders/{id}``."""
    path_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str | list[str]] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    """Body to be sent as JSON; None without one."""
    data: bytes | None = field(default=None, repr=False)
    """Body to be sent as it is, its media type among the headers; None without one."""
