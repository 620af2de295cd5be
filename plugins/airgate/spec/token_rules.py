"""The extension key `x-airgate` of an authorizer: what strict mode asks of tokens beyond the gateway's settings."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from airgate.spec.extension import KEY, Seconds, Text

Algorithm: TypeAlias = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
Leeway: TypeAlias = Annotated[float, Meta(ge=0, le=300)]


class TokenRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for the tokens of a file."""

    leeway: Annotated[Leeway, Meta(description="Seconds by which the clocks of issuer and edge may differ")] = 0.0
    max_age: Annotated[Seconds | None, Meta(description="Seconds since iat after which a token is too old")] = None
    algorithms: Annotated[
        list[Algorithm] | UnsetType,
        Meta(description="Accepted signature algorithms; HS256 when left out, RS256 for auth0"),
    ] = UNSET
    audience: Annotated[
        Text | list[Text] | UnsetType | None,
        Meta(description="For auth0: accepted audiences; null accepts every token of the tenant"),
    ] = UNSET

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> "TokenRules":
        """The rules of an authorizer. What the strict checks would refuse lets no token pass."""
        try:
            return msgspec.convert(settings.get(KEY, {}), cls)
        except msgspec.ValidationError:
            return cls(algorithms=[])

    def names(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """The accepted algorithms."""
        return default if isinstance(self.algorithms, UnsetType) else tuple(self.algorithms)
