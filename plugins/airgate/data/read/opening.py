"""Opens an export: the whole of it, or what stands behind a place where an earlier read stopped (RFC 9110, 14)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus

from airgate.client.streamed import Held, StreamedResponse
from airgate.data.read.cutting import Unreadable, unpacked
from airgate.policy.errors import Rejected

log = logging.getLogger(__name__)

OpenStream = Callable[[Mapping[str, str]], StreamedResponse]
"""Asks for the export with these headers added: ``lambda headers: hook.call(..., headers=headers, stream=True)``."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Opened:
    """An export whose body is coming in.

    Args:
        response: The answer, nothing of it read yet.
        begin: Bytes of the export that stand before its body.

    Raises:
        InvalidResponse: It is no export.
    """

    def __init__(self, response: StreamedResponse, begin: int = 0) -> None:
        self.response = response
        self.begin = begin
        self._came = begin
        self._coded = _is_coded(response)
        self._packed = False
        length = response.headers.get("content-length", "")
        self._length = begin + int(length) if length.isdigit() and not self._coded else 0
        if problem := _problem(response, begin):
            raise response.invalid(problem)

    @property
    def etag(self) -> str:
        """What a later request for the rest is to be made under; empty where bytes of the body are none of the export.

        Only a strong one tells that each byte is the same (RFC 9110, 13.1.5). To be asked once the first piece is here.
        """
        etag = self.response.headers.get("etag", "")
        return "" if self._coded or self._packed or not etag.startswith('"') else etag

    def share(self, offset: int) -> float | None:
        """How much of the export has come with its first bytes, from 0 to 1; None when its length is not known.

        Of a gzip file it is what came in so far, a few of the bytes behind those included.
        """
        return min((self._came if self._packed else offset) / self._length, 1.0) if self._length else None

    def pieces(self) -> Iterator[bytes]:
        """The export from ``begin`` on, gzip removed.

        Raises:
            GatewayError: It does not come in whole, or is not the gzip file that it begins as.
            InvalidResponse: A part of it could not be told from the whole.
        """
        stream: Iterator[bytes] = self._arriving()
        if not self.begin:
            stream, self._packed = unpacked(stream)
        if not (self._coded or self._packed or _ends(self.response)):
            raise self.response.invalid(
                "the answer tells neither its length nor its end (Content-Length, or chunks), so that one that breaks "
                "off would pass for whole; let the service say how long it is, or compress it"
            )
        try:
            yield from stream
        except Unreadable as error:
            raise self.response.invalid(str(error)) from None

    def _arriving(self) -> Iterator[bytes]:
        for piece in self.response.iter_bytes():
            self._came += len(piece)
            yield piece


def open_export(open_stream: OpenStream, offset: int = 0, etag: str = "") -> Opened:
    """Ask for the rest of an export if it is still the same and the service can give it, else for the whole.

    Args:
        open_stream: Asks.
        offset: Bytes that are not needed any more.
        etag: Of the version that they are of; empty to ask for the whole.

    Raises:
        GatewayError: It cannot be had, or what comes is no export.
    """
    if offset and etag:
        # Without a coding: the range would be one of the coded body.
        asked = {"Range": f"bytes={offset}-", "If-Range": etag, "Accept-Encoding": "identity"}
        try:
            response = open_stream(asked)
        except Rejected as error:
            if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        else:
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                return _opened(response)
            if _is_rest(response, offset, etag):
                return _opened(response, offset)
            # Some services pass over If-Range: this is a part of another version.
            response.close()
        log.warning("the export has changed or cannot be had in part; asking for the whole")
    return _opened(open_stream({}))


def _opened(response: StreamedResponse, begin: int = 0) -> Opened:
    try:
        return Opened(response, begin)
    except BaseException:
        response.close()
        raise


def _is_rest(response: StreamedResponse, offset: int, etag: str) -> bool:
    place = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    same = response.headers.get("etag") == etag and not _is_coded(response)
    return place is not None and int(place[1]) == offset and same


def _is_coded(response: StreamedResponse) -> bool:
    return response.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}


def _problem(response: StreamedResponse, begin: int) -> str:
    """Why a successful answer is no export; empty when it may be one."""
    if response.status == HTTPStatus.PARTIAL_CONTENT and not begin:
        return "answered 206 Partial Content, though all of it was asked for"
    if response.status == HTTPStatus.ACCEPTED:
        return "answered 202 Accepted: the export is still being made; wait for it, with a GatewaySensor, and then read"
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return "the answer is a page of HTML, no export" if kind == "text/html" else ""


def _ends(response: StreamedResponse) -> bool:
    """Whether the body has an end of its own: by its length, in chunks, without a body, or in memory already."""
    told = "content-length" in response.headers or "chunked" in response.headers.get("transfer-encoding", "").lower()
    return told or response.status == HTTPStatus.NO_CONTENT or isinstance(response.source, Held)
