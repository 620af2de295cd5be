"""Routes that let people sign in with a one-time password of Supabase: what they ask for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from airgate.spec.javascript import stringify, truthy

SupabaseKind = Literal["supabase_passwordless_auth", "supabase_passwordless_verify", "supabase_passwordless_auth_alt"]
SUPABASE_KINDS: tuple[SupabaseKind, ...] = (
    "supabase_passwordless_auth",
    "supabase_passwordless_verify",
    "supabase_passwordless_auth_alt",
)
URL_VARIABLE = "SUPABASE_URL"
KEY_VARIABLE = "SUPABASE_SERVICE_ROLE_KEY"


@dataclass(frozen=True, slots=True)
class Project:
    """A Supabase project: the URL of its API, and the key that the edge calls it with."""

    url: str
    key: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Project | None":
        """The project that the environment names; None when it names none."""
        url, key = environment.get(URL_VARIABLE), environment.get(KEY_VARIABLE)
        return cls(url.rstrip("/"), key) if url and key else None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of every call."""
        return [("apikey", self.key), ("authorization", f"Bearer {self.key}"), ("content-type", "application/json")]


@dataclass(frozen=True, slots=True)
class SupabaseRoute:
    """What a route does; `project` is None where the environment names none."""

    kind: SupabaseKind
    project: Project | None
    strict: bool


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A posted value without what the route needs, in the gateway's words."""

    text: str
    code: str


_INCOMPLETE = {
    "supabase_passwordless_auth": Incomplete("Missing email or phone", "missing_email_or_phone"),
    "supabase_passwordless_verify": Incomplete("Missing token, email, or phone", "missing_token_or_contact"),
    "supabase_passwordless_auth_alt": Incomplete(
        "Missing email - alternative method only supports email", "missing_email"
    ),
}


def supabase_call(kind: SupabaseKind, posted: object) -> tuple[str, bytes] | Incomplete:
    """Path and body of the call to Supabase's auth API that a posted JSON value leads to.

    An e-mail address wins over a telephone number.
    """
    fields = posted if isinstance(posted, dict) else {}
    contacts = ("email",) if kind == "supabase_passwordless_auth_alt" else ("email", "phone")
    contact = next((name for name in contacts if truthy(fields.get(name))), None)
    verifying = kind == "supabase_passwordless_verify"
    if contact is None or (verifying and not truthy(fields.get("token"))):
        return _INCOMPLETE[kind]
    asked: dict[str, object] = {contact: fields[contact]}
    if verifying:
        asked |= {"token": fields["token"], "type": "email" if contact == "email" else "sms"}
    else:
        asked["create_user"] = True
    return f"/auth/v1/{'verify' if verifying else 'otp'}", stringify(asked).encode("utf-8", "replace")
