"""Spans and trace headers of a call's attempts, by OpenTelemetry's API alone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagate import inject
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, Span, SpanKind, Status, StatusCode

from airgate.client.effects import Reply
from airgate.client.message import Request, Response
from airgate.client.observer import Attempt, NullAttempt, NullObserver
from airgate.policy.redaction import redact_url

_UNTRACED = NullAttempt()


class TraceObserver(NullObserver):
    """A client span per attempt, and W3C trace headers on every request.

    Spans hang under the current span; in a thread that has none, under the one that was current where this object was
    made. Without an SDK there are no spans, yet every request carries a valid ``traceparent``: the current span's, else
    one with a trace id of this object's own. Attribute names are those of OpenTelemetry's HTTP conventions.
    No query string is recorded.
    """

    def __init__(self) -> None:
        self._home = trace.set_span_in_context(trace.get_current_span(), Context())
        self._has_home = trace.get_current_span().get_span_context().is_valid
        self._trace_id = secrets.token_hex(16)

    def attempt_started(self, request: Request, route: str, attempt: int) -> Attempt:
        """Open a span where spans are recorded; give the headers that name it."""
        if any(name.lower() == "traceparent" for name in request.headers):
            return _UNTRACED
        here = trace.get_current_span().get_span_context().is_valid
        context = None if here or not self._has_home else self._home
        provider = trace.get_tracer_provider()
        if isinstance(provider, (ProxyTracerProvider, NoOpTracerProvider)):
            headers: dict[str, str] = {}
            if here or self._has_home:
                inject(headers, context)
            # Flag 00: nobody records this trace here, so the service decides for itself.
            headers.setdefault("traceparent", f"00-{self._trace_id}-{secrets.token_hex(8)}-00")
            return _Headers(headers)
        span = provider.get_tracer("airgate").start_span(
            f"{request.method} {route}" if route else request.method,
            context,
            SpanKind.CLIENT,
            _attributes(request, route, attempt),
        )
        headers = {}
        # The span is never made current: the flow is a generator, and its caller's context is not ours to change.
        inject(headers, trace.set_span_in_context(span, context))
        headers.setdefault("traceparent", f"00-{self._trace_id}-{secrets.token_hex(8)}-00")
        return _Traced(headers, span)


class _Headers(NullAttempt):
    __slots__ = ("headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers


class _Traced(_Headers):
    __slots__ = ("_span",)

    def __init__(self, headers: Mapping[str, str], span: Span) -> None:
        super().__init__(headers)
        self._span = span

    def ended(self, outcome: Reply | None) -> None:
        span = self._span
        if span.is_recording():
            if isinstance(outcome, Response):
                span.set_attribute("http.response.status_code", outcome.status)
                span.set_attribute("http.response.body.size", outcome.received)
                if outcome.status >= 400:
                    span.set_attribute("error.type", str(outcome.status))
                    span.set_status(Status(StatusCode.ERROR))
            elif outcome is None:
                span.set_attribute("error.type", "Abandoned")
                span.set_status(Status(StatusCode.ERROR, "the call was abandoned"))
            else:
                span.set_attribute("error.type", type(outcome).__name__)
                span.set_status(Status(StatusCode.ERROR, outcome.reason))
        span.end()


def _attributes(request: Request, route: str, attempt: int) -> dict[str, Any]:
    address, port = _server(request.url.partition("?")[0])
    attributes: dict[str, Any] = {
        "http.request.method": request.method,
        "url.full": redact_url(request.url).partition("?")[0].partition("#")[0],
        "server.address": address,
        "server.port": port,
    }
    if route:
        attributes["url.template"] = route
    if attempt > 1:
        attributes["http.request.resend_count"] = attempt - 1
    return attributes


@lru_cache(maxsize=256)
def _server(url: str) -> tuple[str, int]:
    split = urlsplit(url)
    return split.hostname or "", split.port or (443 if split.scheme == "https" else 80)
