"""AWS Signature Version 4, computed by botocore."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from airgate.client.auth.protocol import NotSigned, Signing
from airgate.client.effects import Ask
from airgate.client.message import Request
from airgate.policy.json_faults import NOT_JSON
from airgate.policy.redaction import one_line

if TYPE_CHECKING:
    from botocore.credentials import Credentials  # type: ignore[import-untyped]

_EMPTY: tuple[str, ...] = ()


class _Here(threading.local):
    """Whether this thread signs a request of ours."""

    signing = False


_here = _Here()


def _not_ours(record: logging.LogRecord) -> bool:
    """At DEBUG botocore writes down what is signed, session token and query included."""
    return not _here.signing


logging.getLogger("botocore.auth").addFilter(_not_ours)


class AwsAuth:
    """Signs each request for one region and service.

    Host, Content-Type, the X-Amz-* headers, path, query and body are under the signature. Other headers are not, so
    that a proxy on the way may touch them.

    Args:
        access_key: Access key id; without one, credentials are found where botocore looks for them: environment,
            profile, web identity, the role of the container or machine. Those renew themselves.
        secret_key: The secret access key, or a JSON object with ``secret_key`` and ``session_token`` for credentials
            that end.
        region: AWS region, such as ``eu-central-1``.
        service: Signing name, such as ``execute-api``.

    Raises:
        ValueError: Naming the field that is missing, or the extra that brings botocore.
    """

    def __init__(self, access_key: str, secret_key: str, *, region: str, service: str = "execute-api") -> None:
        if not region:
            raise ValueError("extra.aws_region is missing: the signature is for one region")
        if bool(access_key) != bool(secret_key):
            raise ValueError("login and password must both be there for auth=aws, or neither to use the machine's role")
        try:
            import botocore.auth  # type: ignore[import-untyped]
            import botocore.awsrequest  # type: ignore[import-untyped]
            import botocore.credentials
        except ImportError:
            raise ValueError("auth=aws needs botocore: install airgate[aws]") from None
        self._region, self._service = region, service
        self._signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
        self._request = botocore.awsrequest.AWSRequest
        self._credentials: Credentials | None = None
        self._known = _EMPTY
        self.on_secret: Callable[[str], None] | None = None
        if access_key:
            secret, token = _parts(secret_key)
            self._credentials = botocore.credentials.Credentials(access_key, secret, token)
            self._known = tuple(part for part in (secret, token) if part)
        self._own = bool(access_key)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret key, and the session token where there is one."""
        return self._known

    def sign(self, request: Request, now: float) -> Signing:
        """Add the signature."""
        if self._own:
            assert self._credentials is not None
            frozen = self._credentials.get_frozen_credentials()
        else:
            frozen = yield Ask(self._find)  # it may read files and ask the machine's metadata service
            if isinstance(frozen, NotSigned):
                raise frozen  # here, where the call knows what it could not sign
        signed = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in {"content-type", "host"} or name.lower().startswith("x-amz-")
        }
        if request.body is not None and not isinstance(request.body, bytes):
            raise ValueError("auth=aws signs the body, which must be bytes: a streamed one is not known in advance")
        wanted = self._request(request.method, _with_path(request.url), signed, request.body or b"")
        _here.signing = True
        try:
            self._signer(frozen, self._service, self._region).add_auth(wanted)
        finally:
            _here.signing = False
        return request.with_headers(dict(wanted.headers.items()))

    def _find(self) -> Any:
        """The credentials of the machine, or why there are none."""
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        try:
            if self._credentials is None:
                import botocore.session  # type: ignore[import-untyped]

                self._credentials = botocore.session.get_session().get_credentials()
            if self._credentials is None:
                return NotSigned("no AWS credentials were found; give login and password, or the machine a role")
            frozen = self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            return NotSigned(f"no AWS credentials could be had: {one_line(str(error))}")
        found = tuple(part for part in (frozen.secret_key, frozen.token) if part)
        for secret in found:
            if secret not in self._known and self.on_secret:
                self.on_secret(secret)
        self._known = found
        return frozen


def _parts(password: str) -> tuple[str, str | None]:
    """Secret key and session token."""
    if not password.startswith("{"):
        return password, None
    try:
        said = msgspec.json.decode(password)
    except NOT_JSON:
        said = {}
    secret, token = said.get("secret_key"), said.get("session_token")
    if not isinstance(secret, str) or not isinstance(token, str | None) or set(said) - {"secret_key", "session_token"}:
        raise ValueError('password must be the secret key, or {"secret_key": "…", "session_token": "…"}')
    return secret, token


def _with_path(url: str) -> str:
    """The URL as it goes on the wire: an empty path is sent as a slash."""
    split = urlsplit(url)
    return url if split.path else split._replace(path="/").geturl()
