"""What is said between the process that keeps workers and each of them: JSON values over a pair of sockets."""

import asyncio
import socket
from pathlib import Path
from typing import TypeVar

import msgspec

from airgate.edge.certificate import Pair
from airgate.edge.running import Operation
from airgate.edge.settings import Settings
from airgate.spec.config import Mode

T = TypeVar("T")
_LENGTH_BYTES = 4


class Start(msgspec.Struct):
    """To a worker, first: what to serve, and how. Variables come with the environment."""

    path: Path
    mode: Mode
    settings: Settings
    operation: Operation
    text: str
    files: dict[str, bytes]
    """What the file names, by path: a worker that begins later finds them as they were checked."""
    pair: Pair | None
    stand_ins: Path | None = None


class Change(msgspec.Struct, tag=True):
    """To a worker: a checked text of the file, to serve from now on, and what it names."""

    text: str
    files: dict[str, bytes]


class Renewal(msgspec.Struct, tag=True):
    """To a worker: a certificate to show from now on."""

    pair: Pair


Order = Change | Renewal


class Served(msgspec.Struct):
    """From a worker: what it was told last is served, or why it is not."""

    refused: str | None = None


def encoded(message: msgspec.Struct) -> bytes:
    """A message as it goes over the socket."""
    data = msgspec.json.encode(message, enc_hook=str)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


async def answer(reader: asyncio.StreamReader) -> Served | None:
    """What a worker says next; None when it is gone."""
    return await _received(reader, _SERVED)


async def order(reader: asyncio.StreamReader) -> Order | None:
    """What a worker is told next; None when whoever keeps it is gone."""
    return await _received(reader, _ORDER)


def received_first(control: socket.socket) -> Start | None:
    """The message with which a worker begins, before it has a loop; None when the other side is gone."""
    size = _exactly(control, _LENGTH_BYTES)
    data = _exactly(control, int.from_bytes(size, "big"))
    return _START.decode(data) if data else None


async def _received(reader: asyncio.StreamReader, decoder: msgspec.json.Decoder[T]) -> T | None:
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        return decoder.decode(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _exactly(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := control.recv(size - len(data))):
        data += more
    return data if len(data) == size else b""


_START = msgspec.json.Decoder(Start, dec_hook=lambda wanted, value: wanted(value))
_SERVED = msgspec.json.Decoder(Served)
_ORDER: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
