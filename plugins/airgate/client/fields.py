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
        ("none", "basic", "bearer", "api_key", "jwt"),
        "How requests are signed. Login and password hold user and password (basic), the token (bearer, in password), "
        "the key (api_key, in password), or subject and signing key (jwt).",
    ),
    "key_name": Field("API key name", "string", "X-API-Key", description="Header or query parameter of the key."),
    "key_in": Field("API key place", "string", "header", ("header", "query")),
    "jwt_algorithm": Field("JWT algorithm", "string", "HS256", description="HS256, RS256, ES256, EdDSA and the like."),
    "jwt_issuer": Field("JWT issuer", "string", description="The iss claim."),
    "jwt_audience": Field("JWT audience", "string", description="The aud claim."),
    "jwt_lifetime": Field("JWT lifetime", "number", 300, description="Seconds from issue to expiry."),
    "jwt_claims": Field("JWT claims", "object", description="Further claims, as a JSON object."),
    "headers": Field("Headers", "object", description="Sent with every request, as a JSON object of texts."),
    "connect_timeout": Field("Connect timeout", "number", 5, description="Seconds, per attempt."),
    "read_timeout": Field("Read timeout", "number", 60, description="Seconds of silence, per attempt."),
    "deadline": Field("Deadline", "number", 300, description="Seconds for a call with all its attempts; 0 for none."),
    "attempts": Field("Attempts", "integer", 5, description="Requests sent for one call at the most."),
    "backoff": Field(
        "Backoff", "number", 0.5, description="Seconds; upper bound of the first random wait, then doubled."
    ),
    "backoff_cap": Field("Backoff cap", "number", 30, description="Seconds; upper bound of every random wait."),
    "max_inline_wait": Field(
        "Longest inline wait", "number", 10, description="Seconds; a longer wait gives the worker slot back."
    ),
    "retry_budget": Field(
        "Retry budget",
        "number",
        0.2,
        description="Retries that each call adds to those that all calls of a process share; 0 for no budget.",
    ),
    "max_response_bytes": Field(
        "Largest answer", "integer", 104857600, description="Bytes, content codings removed; 0 for no limit."
    ),
    "verify": Field("Verify TLS", "string", "true", description="true, false or the path of a CA bundle."),
    "health_path": Field("Health path", "string", "/", description="What the connection test asks for."),
}
"""Name in the connection's extra -> what it means."""
