"""Reads ``text/event-stream``, piece by piece, by the rules of the HTML standard (9.2.6, server-sent events)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from airgate.policy.events.batch import LARGEST_EVENT, LONGEST_EXCERPT

_MARK: Final = b"\xef\xbb\xbf"
_LONGEST_RETRY: Final = 86_400_000
"""Milliseconds; a server that means more than a day means "do not come back", which is the status 204."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream."""

    data: str
    event: str = ""
    """Its type, empty for the standard's ``message``."""
    id: str = ""
    """The last id that the stream has given, with this message or before."""
    own_id: bool = False
    """Whether it was given with this message."""
    too_large: bool = False
    """Whether ``data`` is only the beginning, as the message has more bytes than are read."""


class EventStreamParser:
    """Makes messages of the bytes of a stream.

    Args:
        last_event_id: The id that the stream was asked for to go on after.
        limit: Bytes of one message; what is beyond is passed over.
    """

    def __init__(self, last_event_id: str = "", *, limit: int = LARGEST_EVENT) -> None:
        self.last_event_id = last_event_id
        """What to go on after; moves with each message that is complete."""
        self.retry: float | None = None
        """Seconds to wait before coming back, where the server has said so."""
        self._limit = limit
        self._line = bytearray()
        self._line_size = 0
        self._began = False
        self._after_return = False
        self._id_buffer = last_event_id
        self._data: list[str] = []
        self._event = ""
        self._own_id = False
        self._too_large = False
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that are complete with the next piece of the stream."""
        start = 0
        while start < len(piece):
            if self._after_return:
                # The line ended with the return; a line feed after it belongs to it, be it in another piece.
                self._after_return = False
                if piece[start] == 0x0A:
                    start += 1
                    continue
            end = _line_end(piece, start)
            self._take(piece[start : len(piece) if end < 0 else end])
            if end < 0:
                return
            self._after_return = piece[end] == 0x0D
            start = end + 1
            message = self._end_of_line()
            if message is not None:
                yield message

    def _take(self, part: bytes) -> None:
        """Keep a part of a line, as much of it as fits."""
        self._line_size += len(part)
        self._line += part[: max(0, self._limit + 64 - len(self._line))]

    def _end_of_line(self) -> Message | None:
        line, size = bytes(self._line), self._line_size
        self._line.clear()
        self._line_size = 0
        if not self._began:
            self._began = True
            if line.startswith(_MARK):
                line, size = line[len(_MARK) :], size - len(_MARK)
        if not size:
            return self._dispatch()
        name, colon, value = line.partition(b":")
        if colon and not name:
            return None  # a comment, which keeps the connection alive
        self._field(name.decode(errors="replace"), value.removeprefix(b" ").decode(errors="replace"), size)
        return None

    def _field(self, name: str, value: str, size: int) -> None:
        if name == "data":
            self._size += size
            if self._size <= self._limit:
                self._data.append(value)
            elif not self._too_large:
                self._too_large = True
                self._data.append(value[:LONGEST_EXCERPT])
        elif name == "event":
            self._event = value
        elif name == "id":
            if "\0" not in value:
                self._id_buffer, self._own_id = value, True
        elif name == "retry" and value.isascii() and value.isdecimal() and len(value) < 16:
            self.retry = min(int(value), _LONGEST_RETRY) / 1000

    def _dispatch(self) -> Message | None:
        self.last_event_id = self._id_buffer
        data, event, own, too_large = self._data, self._event, self._own_id, self._too_large
        self._forget_message()
        if not data:
            return None
        text = "\n".join(data)
        return Message(text[:LONGEST_EXCERPT] if too_large else text, event, self.last_event_id, own, too_large)

    def _forget_message(self) -> None:
        self._data = []
        self._event = ""
        self._own_id = False
        self._too_large = False
        self._size = 0


def _line_end(piece: bytes, start: int) -> int:
    """Where the next line ends, -1 when it goes on beyond the piece."""
    feed = piece.find(b"\n", start)
    carriage = piece.find(b"\r", start, feed if feed >= 0 else len(piece))
    return carriage if carriage >= 0 else feed
