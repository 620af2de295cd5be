"""Checks the tokens of an issuer that the installation names, by the keys that it publishes."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Protocol, TypeVar

from airgate.client import clock
from airgate.edge.jwks import KeptKeys
from airgate.edge.whole_call import HttpCalls
from airgate.ingress.settings import TokenSettings
from airgate.spec.auth0_tokens import KeySetVerifier
from airgate.spec.claims import Expected
from airgate.spec.jws import is_canonical, take_apart
from airgate.spec.keyset import KeySet
from airgate.spec.need import NeedKeys
from airgate.spec.refused import KeysUnavailable, Refused, malformed

T = TypeVar("T")

log = logging.getLogger(__name__)

LONGEST_TOKEN = 16 * 1024
"""Characters."""
_LOOK_SECONDS = 5.0
"""Between two looks at a file of keys."""


class _Keys(Protocol):
    async def keys(self, need: NeedKeys[T]) -> KeySet | Refused: ...


class FileKeys:
    """The keys of a file, which may be replaced while it is used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: KeySet | None = None
        self._changed: tuple[int, int] | None = None
        self._looked_at = float("-inf")

    async def keys(self, need: NeedKeys[T]) -> KeySet | Refused:
        """The set, or that there is none for now."""
        if time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            await asyncio.to_thread(self._look)
        return KeysUnavailable() if self._kept is None else self._kept

    def _look(self) -> None:
        try:
            status = self._path.stat()
            if (changed := (status.st_mtime_ns, status.st_size)) != self._changed:
                self._kept, self._changed = KeySet.read(self._path.read_bytes()), changed
        except (OSError, Refused) as error:  # what was read before still counts
            log.error("[airgate] ingress_jwks: the file has no keys that can be read: %s", type(error).__name__)  # noqa: TRY400


class Tokens:
    """Tells whose token it is, and what it says."""

    def __init__(self, settings: TokenSettings) -> None:
        self.settings = settings
        is_address = settings.jwks.startswith(("http://", "https://"))
        self._keys: _Keys = KeptKeys(HttpCalls()) if is_address else FileKeys(Path(settings.jwks).expanduser())
        self._verifier = KeySetVerifier(
            settings.jwks,
            settings.algorithms,
            Expected(
                issuer=(settings.issuer,),
                audience=settings.audiences,
                expiry_required=True,
                leeway=settings.leeway,
            ),
        )

    def names_issuer(self, token: str) -> bool:
        """Whether a token says that it is the issuer's; nothing is believed of it but who is to check it."""
        try:
            return take_apart(token).claims().get("iss") == self.settings.issuer
        except Refused:
            return False

    async def claims(self, token: str) -> dict[str, object]:
        """The claims of a valid token.

        Raises:
            Refused: It is none, is not meant for us, comes too early or too late; or the keys cannot be had.
        """
        if len(token) > LONGEST_TOKEN or not is_canonical(token):
            raise malformed()
        found = self._verifier.claims(token, clock.now())
        return found.resume(await self._keys.keys(found)) if isinstance(found, NeedKeys) else found
