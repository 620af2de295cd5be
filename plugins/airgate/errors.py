"""The errors that airgate raises, for ``except`` clauses in DAGs; the tree is drawn in ``airgate.policy.errors``."""

from airgate.policy.errors import (
    CircuitOpen,
    Conflict,
    DeadlineExceeded,
    GatewayError,
    InvalidResponse,
    JobFailed,
    KeyReused,
    NeedsAttention,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    SagaClosed,
    Unauthorized,
    Unavailable,
    Unprocessable,
)

__all__ = [
    "CircuitOpen",
    "Conflict",
    "DeadlineExceeded",
    "GatewayError",
    "InvalidResponse",
    "JobFailed",
    "KeyReused",
    "NeedsAttention",
    "NotFound",
    "OutcomeUnknown",
    "RateLimited",
    "Rejected",
    "SagaClosed",
    "Unauthorized",
    "Unavailable",
    "Unprocessable",
]
