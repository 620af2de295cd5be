"""``airflow gateway token``: what the connection's token says, without what makes it valid."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from typing import Any

from airgate.commands.connection import open_hook
from airgate.commands.output import Voice, failing, log_lines, masked
from airgate.commands.signing import sign


def token(args: Namespace) -> None:
    """Print header and claims as one JSON object."""
    from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

    redirect_stdout_log_handlers_to_stderr()
    voice = Voice()
    with failing(voice), log_lines(voice):
        gateway = open_hook(args.conn_id).gateway
        voice.secrets.update(gateway.secrets)
        headers = {name.lower(): value for name, value in sign(gateway).headers.items()}
        voice.secrets.update(gateway.secrets)
        scheme, _, text = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise ValueError(f"connection {args.conn_id!r}: its auth, {type(gateway.auth).__name__}, has no token")
        decoded = _decoded(text)
    voice.say(json.dumps(masked(decoded), indent=2, ensure_ascii=False))
    voice.remark(_lifetime(decoded["claims"]))


def _decoded(text: str) -> dict[str, Any]:
    import jwt

    try:
        # Nobody is let in by this: it is our own token, and only shown.
        claims = jwt.decode(text, options={"verify_signature": False})
        return {"header": jwt.get_unverified_header(text), "claims": claims}
    except jwt.PyJWTError:
        raise ValueError(
            f"the token is not a JWT but {len(text)} characters that only its issuer can read; nothing is shown of it"
        ) from None


def _lifetime(claims: dict[str, Any]) -> str:
    expiry = claims.get("exp")
    if not isinstance(expiry, int | float):
        return "the token has no expiry"
    left = expiry - time.time()
    return f"the token expires in {left:.0f} s" if left > 0 else f"the token expired {-left:.0f} s ago"
