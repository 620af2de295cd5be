"""The fields of a gateway connection: one table for the form, the reading and the docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a connection's extra."""

    label: str
    kind: Literal["string", "number", "integer", "object"]
    default: Any = None
    choices: tuple[str, ...] = ()
    description: str = ""


FIELDS: dict[str, Field] = {
    "auth": Field(
        "Auth type",
        "string",
        "none",
        ("none", "basic", "bearer", "api_key", "jwt", "oauth2", "aws", "custom"),
        "How requests are signed. Login and password hold user and password (basic), the token (bearer, in password), "
        "the key (api_key, in password), subject and signing key (jwt), client id and client secret (oauth2), "
        "access key and secret key (aws), or what the class wants (custom).",
    ),
    "key_name": Field("API key name", "string", "X-API-Key", description="Header or query parameter of the key."),
    "key_in": Field("API key place", "string", "header", ("header", "query")),
    "jwt_algorithm": Field("JWT algorithm", "string", "HS256", description="HS256, RS256, ES256, EdDSA and the like."),
    "jwt_issuer": Field("JWT issuer", "string", description="The iss claim."),
    "jwt_audience": Field("JWT audience", "string", description="The aud claim."),
    "jwt_lifetime": Field("JWT lifetime", "number", 300, description="Seconds from issue to expiry."),
    "jwt_claims": Field("JWT claims", "object", description="Further claims, as a JSON object."),
    "jwt_key_id": Field("JWT key id", "string", description="The kid in the token's header."),
    # Not token_url: Airflow takes what is called a token for a secret, and would mask the address in every log.
    "oauth_url": Field(
        "OAuth2 token endpoint",
        "string",
        description="Token endpoint: an address, or a path below the gateway (oauth2).",
    ),
    "oauth_scopes": Field("OAuth2 scopes", "string", description="Scopes to ask for, with spaces between them."),
    "oauth_audience": Field("OAuth2 audience", "string", description="The audience parameter, where a server has one."),
    "oauth_client_auth": Field(
        "OAuth2 client auth",
        "string",
        "basic",
        ("basic", "post"),
        "Where client id and secret stand in the token request: in its Authorization header or in its body.",
    ),
    "aws_region": Field("AWS region", "string", description="Region to sign for (aws)."),
    "aws_service": Field("AWS service", "string", "execute-api", description="Service to sign for (aws)."),
    "auth_class": Field("Auth class", "string", description="package.module:Class that signs requests (custom)."),
    "auth_options": Field(
        "Auth options", "object", description="Given to the class as options, as a JSON object; no place for secrets."
    ),
    "headers": Field("Headers", "object", description="Sent with every request, as a JSON object of texts."),
    "connect_timeout": Field("Connect timeout", "number", 5, description="Seconds, per attempt."),
    "read_timeout": Field("Read timeout", "number", 60, description="Seconds of silence, per attempt."),
    "deadline": Field("Deadline", "number", 300, description="Seconds for a call with all its attempts; 0 for none."),
    "task_deadline": Field(
        "Task deadline",
        "number",
        0,
        description="Seconds for a call over all tries of its task and all long waits, until the task is cleared; "
        "0 for none.",
    ),
    "attempts": Field("Attempts", "integer", 5, description="Requests sent for one call at the most."),
    "backoff": Field(
        "Backoff", "number", 0.5, description="Seconds; upper bound of the first random wait, then doubled."
    ),
    "backoff_cap": Field("Backoff cap", "number", 30, description="Seconds; upper bound of every random wait."),
    "max_inline_wait": Field(
        "Longest inline wait", "number", 10, description="Seconds; a longer wait is a long wait, see long_wait."
    ),
    "long_wait": Field(
        "Long wait",
        "string",
        "defer",
        ("defer", "retry", "inline"),
        "What becomes of a long wait: the task defers, Airflow tries it again later, or the worker slot sleeps.",
    ),
    "retry_budget": Field(
        "Retry budget",
        "number",
        0.2,
        description="Retries that each call adds to those that all calls of a process share; 0 for no budget.",
    ),
    "idempotency": Field(
        "Idempotency keys",
        "string",
        "sent",
        ("honoured", "sent", "off"),
        "Whether unsafe calls carry a key. A service that honours it does the work once, so such calls are repeated.",
    ),
    "idempotency_header": Field(
        "Idempotency header", "string", "Idempotency-Key", description="Header that carries the key."
    ),
    "limits": Field("Limits", "object", description="Rates and concurrency shared by all processes, as a JSON object."),
    "breaker": Field(
        "Circuit breaker",
        "object",
        description="When calls are held back from a failing service, as a JSON object; {} for the defaults.",
    ),
    "max_response_bytes": Field(
        "Largest answer", "integer", 104857600, description="Bytes, content codings removed; 0 for no limit."
    ),
    "verify": Field("Verify TLS", "string", "true", description="true, false or the path of a CA bundle."),
    "client_cert": Field(
        "Client certificate", "string", description="Path of a PEM file with the certificate that the client shows."
    ),
    "client_key": Field(
        "Client key",
        "string",
        description="Path of a PEM file with its private key, not encrypted; left out where client_cert holds both.",
    ),
    "proxy": Field(
        "Proxy",
        "string",
        description="Address of a forward proxy; left out, HTTPS_PROXY, HTTP_PROXY and NO_PROXY count.",
    ),
    "address_guard": Field(
        "Address guard",
        "string",
        "off",
        ("off", "on"),
        "Refuses connections to addresses of this machine and of private or special networks, but the host's own.",
    ),
    "openapi": Field(
        "OpenAPI document",
        "string",
        description="Where the document is: a path below the gateway, a file, or package://package.name/path.",
    ),
    "health_path": Field("Health path", "string", "/", description="What the connection test asks for."),
}
"""Name in the connection's extra -> what it means."""
