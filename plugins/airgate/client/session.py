"""The synchronous driver: carries a call out with a pooled requests session."""

from __future__ import annotations

import ssl
import time
from collections.abc import Collection
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType

import requests
import requests.adapters
import urllib3.exceptions

from airgate.client.effects import Event, Send, Wait
from airgate.client.flow import Flow, Shared, call_flow
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response, headers_of
from airgate.policy.outcome import NotSent, Unanswered, Unusable

_NEVER_LEFT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
)
_CHUNK = 1 << 16


class GatewaySession:
    """One gateway, one pool of connections.

    A session may be shared by threads. Cookies are not kept, and no credentials are taken
    from a ``.netrc`` file.

    Raises:
        ValueError: When the gateway's CA bundle does not exist.
    """

    def __init__(self, gateway: Gateway, *, pool_size: int = 10) -> None:
        self.gateway = gateway
        self._shared = Shared.of(gateway)
        if isinstance(gateway.verify, str) and not Path(gateway.verify).exists():
            raise ValueError(f"verify: there is no CA bundle at {gateway.verify}")
        self._http = requests.Session()
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._http.auth = _already_signed
        self._http.headers["User-Agent"] = "airgate"
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=pool_size, max_retries=0)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)

    def __enter__(self) -> GatewaySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    def call(
        self, request: Request, *, expect: Collection[int] | None = None, deadline: float | None = None
    ) -> Response:
        """Send the request until its answer is final.

        Args:
            request: What to send, unsigned.
            expect: Statuses that count as success; None means 200 to 299.
            deadline: Unix time by which the call must be over; None takes the gateway's setting.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        request = Request(
            request.method,
            request.url,
            {**self.gateway.headers, **request.headers},
            request.body,
            request.keyed,
        )
        return self._drive(call_flow(request, self.gateway, expect=expect, deadline=deadline, shared=self._shared))

    def _drive(self, flow: Flow) -> Response:
        event: Event = None
        try:
            while True:
                effect = flow.send(event)
                if isinstance(effect, Wait):
                    time.sleep(effect.seconds)
                    event = None
                else:
                    event = self._send(effect)
        except StopIteration as stop:
            response: Response = stop.value
            return response

    def _send(self, effect: Send) -> Response | NotSent | Unanswered | Unusable:
        request, gateway = effect.request, self.gateway
        ends = None if effect.timeout is None else time.monotonic() + effect.timeout
        connect, read = gateway.connect_timeout, gateway.read_timeout
        if effect.timeout is not None:
            connect, read = min(connect, effect.timeout), min(read, effect.timeout)
        try:
            with self._http.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.body,
                timeout=(connect, read),
                allow_redirects=False,
                # Per request: a session's own setting gives way to REQUESTS_CA_BUNDLE.
                verify=gateway.verify,
                stream=True,
            ) as answer:
                body = bytearray()
                # Piece by piece as they come in: a server that trickles must not outlast the deadline.
                while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                    body += chunk
                    if gateway.max_response_bytes and len(body) > gateway.max_response_bytes:
                        return Unusable(answer.status_code, beyond_limit(gateway.max_response_bytes))
                    if ends is not None and time.monotonic() > ends:
                        return Unanswered("the deadline passed while the answer came in")
                return Response(
                    answer.status_code,
                    headers_of(answer.raw.headers.items()),
                    bytes(body),
                    request.method,
                    request.safe_url,
                )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            # Their own text may hold the header's value, and with it a secret.
            raise ValueError(f"{request.method} {request.safe_url} cannot be sent: {type(error).__name__}") from None
        except requests.exceptions.SSLError as error:
            return _tls_failure(error)
        except requests.exceptions.RequestException as error:
            return _failure(error, connect, read)
        except urllib3.exceptions.HTTPError as error:
            timed_out = isinstance(error, urllib3.exceptions.ReadTimeoutError)
            return Unanswered(f"silence for {read:g} s within the answer" if timed_out else "the answer broke off")


def beyond_limit(limit: int) -> str:
    """What is said of an answer that is too large."""
    return f"the answer has more than {limit} bytes, the connection's max_response_bytes"


def _already_signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from signing by itself: it would put a .netrc password in place of our signature."""
    return request


def _failure(error: requests.exceptions.RequestException, connect: float, read: float) -> NotSent | Unanswered:
    reason = _cause(error)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NotSent(f"no connection within {connect:g} s")
    if isinstance(reason, _NEVER_LEFT) or isinstance(error, requests.exceptions.ProxyError):
        return NotSent("connection refused or host not found")
    if isinstance(error, requests.exceptions.ReadTimeout) or isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        return Unanswered(f"no answer within {read:g} s")
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)):
        return Unanswered("the answer broke off")
    return Unanswered("the connection was closed without an answer")


def _tls_failure(error: BaseException) -> NotSent | Unanswered:
    """A refused certificate comes before the request; any other TLS fault may come after it."""
    link: BaseException | object | None = error
    while isinstance(link, BaseException):
        if isinstance(link, ssl.SSLCertVerificationError):
            return NotSent(f"the server's certificate is not trusted ({link.verify_message})")
        link = _cause(link) if isinstance(link, requests.exceptions.SSLError) else link.__cause__ or link.__context__
    return Unanswered("the TLS connection failed")


def _cause(error: BaseException) -> object:
    """The urllib3 error inside a requests error: that one says what really happened."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", None) or inner
