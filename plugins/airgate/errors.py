"""The errors that airgate raises, for ``except`` clauses in DAGs; the tree is drawn in ``airgate.policy.errors``."""

from airgate.policy.errors import (
    Conflict,
    DeadlineExceeded,
    GatewayError,
    InvalidResponse,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
    Unprocessable,
)

__all__ = [
    "Conflict",
    "DeadlineExceeded",
    "GatewayError",
    "InvalidResponse",
    "NotFound",
    "OutcomeUnknown",
    "RateLimited",
    "Rejected",
    "Unauthorized",
    "Unavailable",
    "Unprocessable",
]
