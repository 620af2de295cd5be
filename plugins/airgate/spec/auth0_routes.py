"""Routes that let a browser sign in at Auth0: what they need to know, and the requests they lead to. Pure."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import quote, urlencode

from airgate.spec.auth0_tokens import KeySetVerifier, key_set_verifier
from airgate.spec.claims import Expected
from airgate.spec.javascript import MISSING, stringify, to_text
from airgate.spec.services import Function
from airgate.spec.url import absolute_url

Auth0Kind = Literal["auth0_callback", "auth0_userinfo", "auth0_callback_redirect", "auth0_refresh"]
AUTH0_KINDS: tuple[Auth0Kind, ...] = (
    "auth0_callback",
    "auth0_userinfo",
    "auth0_callback_redirect",
    "auth0_refresh",
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """An application of an Auth0 tenant. `access_tokens` judges what callers send, `id_tokens` what Auth0 sends."""

    domain: str
    client_id: str
    client_secret: str
    redirect_uri: str
    scope: str
    access_tokens: KeySetVerifier
    id_tokens: KeySetVerifier

    @classmethod
    def of(cls, settings: Mapping[str, object], *, strict: bool) -> "Tenant":
        """The application that an authorizer describes; in compatible mode what is missing is `undefined`."""
        verifier = key_set_verifier(settings, strict=strict)
        client_id = to_text(settings.get("client_id", MISSING))
        expected = verifier.expected
        if strict:  # an ID token is meant for the application, not for its API (OpenID Connect Core, 3.1.3.7)
            expected = Expected(expected.issuer, (client_id,), expiry_required=True, leeway=expected.leeway)
        return cls(
            domain=to_text(settings.get("domain", MISSING)),
            client_id=client_id,
            client_secret=to_text(settings.get("client_secret", MISSING)),
            redirect_uri=to_text(settings.get("redirect_uri", MISSING)),
            scope=to_text(settings.get("scope", MISSING)),
            access_tokens=verifier,
            id_tokens=KeySetVerifier(verifier.source, verifier.algorithms, expected),
        )

    @property
    def token_url(self) -> str:
        """Where tokens are given out."""
        return f"https://{self.domain}/oauth/token"

    @property
    def userinfo_url(self) -> str:
        """Where the user of an access token is described."""
        return f"https://{self.domain}/userinfo"

    def recorded_sign_in_url(self, state: str | None) -> str:
        """The sign-in page as the gateway puts it together: nothing is escaped, a missing state is the text `null`.

        Raises:
            ValueError: what comes out is no URL.
        """
        return absolute_url(
            f"https://{self.domain}/authorize?response_type=code&client_id={self.client_id}"
            f"&redirect_uri={self.redirect_uri}&scope={self.scope}&state={'null' if state is None else state}"
        )

    def sign_in_url(self, state: str, verifier: str) -> str:
        """The sign-in page, every value escaped, with the challenge to a verifier (RFC 7636, 4.2)."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": state,
            "code_challenge": digest(verifier),
            "code_challenge_method": "S256",
        }
        return f"https://{self.domain}/authorize?{urlencode(asked, quote_via=quote)}"

    def exchange(self, code: str | None, verifier: str | None) -> bytes:
        """The body that turns the code of a sign-in into tokens (RFC 6749, 4.1.3)."""
        asked: dict[str, object] = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "code": code,
            "redirect_uri": self.redirect_uri,
        }
        return stringify(asked if verifier is None else {**asked, "code_verifier": verifier}).encode()

    def refresh(self, refresh_token: object) -> bytes:
        """The body that turns a refresh token into a new access token (RFC 6749, 6)."""
        asked = {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": refresh_token,
        }
        return stringify(cast(object, asked)).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Auth0Route:
    """What a route does. `post_process` is called at the end of a callback, before the tokens are given out."""

    kind: Auth0Kind
    tenant: Tenant | None
    strict: bool
    post_process: Function | None = None


def digest(text: str) -> str:
    """The SHA-256 hash of an ASCII text, in base64url."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
