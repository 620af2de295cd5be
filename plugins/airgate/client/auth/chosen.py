"""The auth that a connection's fields choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airgate.client.auth.fixed import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth
from airgate.client.auth.protocol import Auth


def auth_from_fields(fields: Mapping[str, Any], base_url: str, login: str | None, password: str | None) -> Auth:
    """The auth of a connection.

    Args:
        fields: Its extra, read by ``airgate.client.fields.FIELDS``.
        base_url: The gateway's address.
        login: User, subject, client id or access key.
        password: The secret.

    Raises:
        ValueError: Naming the field that is missing or wrong.
    """
    kind = fields["auth"]
    if kind == "none":
        return NoAuth()
    # Each of these imports what the others do not need.
    if kind == "custom":
        from airgate.client.auth.custom import load_auth

        return load_auth(fields["auth_class"], login, password, fields["auth_options"] or {})
    if kind == "aws":
        from airgate.client.auth.aws import AwsAuth

        return AwsAuth(login or "", password or "", region=fields["aws_region"] or "", service=fields["aws_service"])
    if not password:
        raise ValueError(f"password is missing: extra.auth={kind} takes its secret from there")
    if kind == "basic":
        return BasicAuth(login or "", password)
    if kind == "bearer":
        return BearerAuth(password)
    if kind == "api_key":
        return ApiKeyAuth(password, name=fields["key_name"], place=fields["key_in"])
    return _oauth2(fields, base_url, login, password) if kind == "oauth2" else _jwt(fields, login, password)


def _jwt(fields: Mapping[str, Any], login: str | None, password: str) -> Auth:
    from airgate.client.auth.self_signed import JwtAuth, JwtClaims

    claims = JwtClaims(
        subject=login,
        issuer=fields["jwt_issuer"],
        audience=fields["jwt_audience"],
        lifetime=fields["jwt_lifetime"],
        extra=fields["jwt_claims"] or {},
    )
    return JwtAuth(password, claims, algorithm=fields["jwt_algorithm"], key_id=fields["jwt_key_id"])


def _oauth2(fields: Mapping[str, Any], base_url: str, login: str | None, password: str) -> Auth:
    from airgate.client.auth.oauth import OAuth2Auth, TokenEndpoint, token_endpoint_url

    if not login:
        raise ValueError("login is missing: extra.auth=oauth2 takes the client id from there")
    if not fields["oauth_url"]:
        raise ValueError("extra.oauth_url is missing: extra.auth=oauth2 asks for its tokens there")
    endpoint = TokenEndpoint(
        token_endpoint_url(fields["oauth_url"], base_url),
        " ".join((fields["oauth_scopes"] or "").split()),
        fields["oauth_audience"] or "",
        fields["oauth_client_auth"],
    )
    return OAuth2Auth(login, password, endpoint)
