"""A request as both drivers put it on the wire."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from airgate.client.codings import ACCEPTED
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response, merged
from airgate.client.uploads import Upload
from airgate.policy.errors import OutcomeUnknown
from airgate.policy.redaction import redact_values

AGENT = "airgate"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]")


class SourceFailed(Exception):
    """The body could not be read where it comes from; the cause says why."""


def for_gateway(request: Request, gateway: Gateway) -> Request:
    """The request with the headers that all of the gateway's have; its own replace those, whatever their case."""
    headers = merged(gateway.headers, request.headers) if gateway.headers else request.headers
    return dataclasses.replace(request, headers=headers, secrets=gateway.secrets)


def without_secrets(response: Response, gateway: Gateway) -> Response:
    """The answer with an address that may be shown: a redirect may repeat a token that this call has fetched."""
    url = redact_values(response.url, gateway.secrets)
    return response if url == response.url else dataclasses.replace(response, url=url)


def refuse_spent(request: Request) -> None:
    """Raise an error where the body cannot be sent, since an earlier attempt has read it.

    Raises:
        OutcomeUnknown: What became of that attempt is not known to be nothing.
    """
    body = request.body
    if body is not None and not isinstance(body, bytes) and body.spent:
        raise OutcomeUnknown(
            "its body is a stream that an earlier attempt has read, so it cannot be sent again; a StreamBody can be",
            method=request.method,
            url=request.safe_url,
            retryable=False,
        )


def headers_for(request: Request) -> dict[str, str]:
    """The request's headers and those that go without saying.

    Raises:
        ValueError: Method, address or a header cannot be sent. It names no value: that may be a secret.
    """

    def refusal(reason: str) -> ValueError:
        return ValueError(f"{request.method} {request.safe_url} cannot be sent: {reason}")

    if not _TOKEN.fullmatch(request.method):
        raise refusal("InvalidMethod")
    for name, value in request.headers.items():
        if not _TOKEN.fullmatch(name) or not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise refusal(f"InvalidHeader, {name!r} must be of ASCII characters without line breaks")
    headers = {"User-Agent": AGENT, "Accept-Encoding": ACCEPTED, "Accept": "*/*", **request.headers}
    names = {name.lower() for name in request.headers}
    if len(headers) != len(request.headers) + 3 or names & {"user-agent", "accept-encoding", "accept"}:
        headers = {
            name: value for name, value in headers.items() if name in request.headers or name.lower() not in names
        }
    if "expect" in names:
        raise refusal("Expect is not supported, leave it out")
    body = request.body
    if "content-length" in names or "transfer-encoding" in names:
        raise refusal("the body tells its length itself, leave Content-Length and Transfer-Encoding out")
    if body is None:
        if request.method not in {"GET", "HEAD", "OPTIONS", "TRACE"}:  # as aiohttp does it
            headers["Content-Length"] = "0"
    else:
        size = len(body) if isinstance(body, bytes) else body.length
        if size is None:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(size)
    return headers


def origin_of(url: str) -> tuple[str, str, str]:
    """Scheme, host with port, and the target of the request line.

    Raises:
        ValueError: It is no address that can be called.
    """
    split = urlsplit(url)
    bare = url.partition("#")[0]
    if split.scheme not in {"http", "https"} or not split.hostname or split.username is not None:
        raise ValueError("cannot be sent: InvalidURL, an http(s) address without credentials in it is needed")
    if _UNSENDABLE.search(bare):
        raise ValueError("cannot be sent: InvalidURL, characters must be percent-encoded")
    start = len(split.scheme) + 3 + len(split.netloc)
    target = bare[start:]
    if "%" in target:
        target = _ESCAPE.sub(lambda escape: escape[0].upper(), target)  # urllib3 would do it, aiohttp not
    return split.scheme, split.netloc, target if target.startswith("/") else f"/{target}"


def pieces_of(body: Upload, size: int | None) -> Iterator[bytes]:
    """The body's pieces, not more and not fewer bytes than were announced.

    Raises:
        SourceFailed: It cannot be read, or has changed its size.
    """
    try:
        yield from body.open() if size is None else _exactly(body.open(), size)
    except Exception as error:
        raise SourceFailed(str(error)) from error


def _exactly(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    sent = 0
    for piece in pieces:
        sent += len(piece)
        if sent > size:
            raise ValueError(f"the body has more than the {size} bytes that it was said to have")
        yield piece
    if sent < size:
        raise ValueError(f"the body has {sent} bytes and was said to have {size} bytes")
