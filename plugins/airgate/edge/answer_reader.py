"""Reads the bytes of one answer after the other: status, headers, pieces of a body, and whether it ended cleanly.

llhttp, through httptools, does the reading; it refuses what could be read in two ways, such as a length next to a
transfer coding. `airgate.edge.answer_framing` says what else is not to be passed on.
"""

from collections import deque

from httptools import HttpResponseParser

from airgate.edge.answer_framing import BadAnswer, body_announced, check_size, check_status

_WITHOUT_BODY = (204, 304)


class AnswerReader:
    """What the parser tells. `fail` is the connection's."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.begin_reading("GET")

    def begin_reading(self, method: str) -> None:
        """Expect the answer to a request; one to HEAD has no body, whatever its headers say."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._head = method == "HEAD"
        self._received = 0
        self._size = 0
        self._headed = False
        self._complete = False
        self._until_end = False
        self._keeps = False
        self._pieces: deque[bytes] = deque()

    def fail(self, status: int, what: str) -> None:
        """Give the call up: nothing of the answer can be trusted."""
        raise NotImplementedError

    def on_message_begin(self) -> None:
        """Begin an answer; the one before was an interim one (1xx), or there are two to one request."""
        if self._complete:
            self._keeps = False
        else:
            self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those after the body, trailers, are dropped."""
        if not self._headed:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take status and headers, unless they are of an interim answer or not to be passed on."""
        if self._complete:
            return
        status = self._parser.get_status_code()
        try:
            if not check_status(status, self._parser.get_http_version()):
                return
            check_size(self.headers, self._received)
            announced = body_announced(self.headers)
        except BadAnswer as bad:
            self.fail(502, str(bad))
            return
        self.status = status
        self._headed = True
        self._keeps = self._parser.should_keep_alive()
        if self._head or status in _WITHOUT_BODY:
            # Whether the server sends the body all the same would be known too late, as the next request's answer.
            self._keeps = self._keeps and announced is not True
            self._complete = True
        else:
            self._until_end = announced is None

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self._complete:
            self._keeps = False
            return
        self._pieces.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        """End the answer, unless it was an interim one."""
        if self._headed:
            self._complete = True
