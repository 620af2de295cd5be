"""Tokens that do not pass, with the texts and codes that the gateway gives for each reason."""


class Refused(Exception):
    """A token that does not pass, or that cannot be judged.

    Args:
        text: What compatible mode says of it; strict mode keeps it to itself.
        code: The code next to it.
        status: 401, or 500 when it is the configuration that is wrong.
    """

    def __init__(self, text: str, code: str, status: int = 401) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.status = status


class KeysUnavailable(Refused):
    """The keys that would tell cannot be had just now; the token may be good.

    Args:
        retry_after: Seconds after which it is worth trying again.
    """

    def __init__(self, retry_after: float = 5.0) -> None:
        super().__init__("JWT verification failed", "AUTH_ERROR")
        self.retry_after = retry_after


class NoToken(Refused):
    """The caller sent no token, or not as a bearer token."""

    def __init__(self) -> None:
        super().__init__("No token provided or token format is invalid.", "AUTH_ERROR")


EXPIRED = "ERR_JWT_EXPIRED"


def malformed() -> Refused:
    """It is not a signed token in compact form."""
    return Refused("Invalid JWS", "ERR_JWS_INVALID")


def unverifiable() -> Refused:
    """Its signature is of a kind that is not accepted, or for which there is no usable key."""
    return Refused("JWT verification failed", "AUTH_ERROR")


def wrong_signature() -> Refused:
    """Its signature is not that of the key."""
    return Refused("Signature verification failed", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED")


def no_claims() -> Refused:
    """Its payload is no JSON object."""
    return Refused("Invalid JWT", "ERR_JWT_INVALID")


def claim_failed() -> Refused:
    """A claim is missing, of the wrong type, or not what is asked for."""
    return Refused("JWT claim validation failed", "ERR_JWT_CLAIM_VALIDATION_FAILED")


def expired() -> Refused:
    """Its time is over."""
    return Refused("Token has expired.", EXPIRED)
