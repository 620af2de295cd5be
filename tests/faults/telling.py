"""How a process under fire says where it is."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from typing import Any


def tell(listener: str, what: dict[str, Any]) -> None:
    """Tell whoever may kill, and wait for the word to go on; nobody there means to go on.

    Args:
        listener: Address.
        what: An object of JSON.
    """
    request = urllib.request.Request(listener, json.dumps(what).encode(), {"Content-Type": "application/json"})
    with contextlib.suppress(OSError):
        urllib.request.urlopen(request, timeout=20).close()
