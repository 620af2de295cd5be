"""What is said between the process that keeps workers and each of them: JSON values over a pair of sockets."""

import asyncio
import socket
from pathlib import Path
from typing import TypeVar

import msgspec

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


class Change(msgspec.Struct):
    """To a worker: a checked text of the file, to serve from now on."""

    text: str


class Served(msgspec.Struct):
    """From a worker: the last text is served, or why it is not."""

    refused: str | None = None


def encoded(message: msgspec.Struct) -> bytes:
    """A message as it goes over the socket."""
    data = msgspec.json.encode(message, enc_hook=str)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


async def received(reader: asyncio.StreamReader, kind: type[T]) -> T | None:
    """The next message; None when the other side is gone."""
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        return _decoded(await reader.readexactly(size), kind)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def received_first(control: socket.socket) -> Start | None:
    """The message with which a worker begins, before it has a loop; None when the other side is gone."""
    size = _exactly(control, _LENGTH_BYTES)
    data = _exactly(control, int.from_bytes(size, "big"))
    return _decoded(data, Start) if data else None


def _exactly(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := control.recv(size - len(data))):
        data += more
    return data if len(data) == size else b""


def _decoded(data: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(data, type=kind, dec_hook=lambda wanted, value: wanted(value))
