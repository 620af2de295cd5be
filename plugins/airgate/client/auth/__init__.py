"""How a request proves who sends it: one kind of proof a file."""

from airgate.client.auth.fixed import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth
from airgate.client.auth.oauth import OAuth2Auth, TokenEndpoint
from airgate.client.auth.protocol import Auth, MintingAuth, NotSigned, RenewableAuth, Signing
from airgate.client.auth.self_signed import JwtAuth, JwtClaims

__all__ = [
    "ApiKeyAuth",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "JwtAuth",
    "JwtClaims",
    "MintingAuth",
    "NoAuth",
    "NotSigned",
    "OAuth2Auth",
    "RenewableAuth",
    "Signing",
    "TokenEndpoint",
]
