"""One request of an AWS JSON 1.0 service, such as Step Functions, and its errors, which all come as HTTP 400.

Checked against the service model ``stepfunctions/2016-11-23`` that botocore publishes, and AWS's list of common errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client.message import Response
from airgate.jobs.talk import Ask, Talk
from airgate.policy.errors import (
    Conflict,
    GatewayError,
    NotFound,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from airgate.policy.redaction import one_line

_LONGEST_MESSAGE = 500
_RATE = {"ExecutionLimitExceeded", "RequestLimitExceeded", "TooManyRequestsException"}
_DOWN = {"InternalFailure", "InternalServerError", "InternalServerException", "ServiceUnavailable"}
_SIGN = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "KmsAccessDeniedException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


@dataclass(frozen=True, slots=True)
class AwsJson:
    """A service that takes the name of the operation in a header, and all else in the body."""

    target: str
    """Prefix of the operations, such as ``AWSStepFunctions``."""
    base: str = ""
    """Path of the service behind the gateway."""

    def call(self, operation: str, fields: Mapping[str, Any], *, reads: bool = True) -> Talk[dict[str, Any]]:
        """Call an operation.

        Args:
            operation: Its name.
            fields: Its input.
            reads: Whether it has no effect.

        Raises:
            GatewayError: What the service's type of error means: ``RateLimited`` and ``Unavailable`` may pass.
        """
        answer = yield Ask(
            "POST",
            self.base or "/",
            data=json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode(),
            headers={"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{self.target}.{operation}"},
            expect={200, 400},
            reads=reads,
        )
        if answer.status != 200:
            raise refusal(answer)
        said = answer.json()
        if not isinstance(said, dict):
            raise answer.invalid(f"{operation} gave no JSON object")
        return said


def refusal(answer: Response) -> GatewayError:
    """The error of an answer with HTTP 400."""
    try:
        said = json.loads(answer.bytes)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return _error(Rejected, "HTTP 400", answer)
    # Some services write the type as namespace#Type, and the header as Type:address.
    written = said.get("__type") or said.get("code") or answer.headers.get("x-amzn-errortype") or ""
    kind = one_line(str(written)).rpartition("#")[2].partition(":")[0]
    message = one_line(str(said.get("message") or said.get("Message") or ""))[:_LONGEST_MESSAGE]
    reason = ": ".join(part for part in (kind, message) if part) or "HTTP 400"
    return _error(_kind_of(kind), reason, answer)


def _kind_of(kind: str) -> type[GatewayError]:
    if "Throttl" in kind or kind in _RATE:  # ThrottlingException, Throttling, ThrottledException, KmsThrottling…
        return RateLimited
    if kind in _DOWN:
        return Unavailable
    if kind in _SIGN:
        return Unauthorized
    if kind.endswith(("DoesNotExist", "NotFound", "NotFoundException")):
        return NotFound
    if kind.endswith(("AlreadyExists", "AlreadyExistsException")):
        return Conflict
    return Rejected


def _error(kind: type[GatewayError], reason: str, answer: Response) -> GatewayError:
    return kind(
        reason,
        method=answer.method,
        url=answer.url,
        status=answer.status,
        attempts=answer.attempts,
        request_id=answer.headers.get("x-amzn-requestid") or answer.request_id,
    )
