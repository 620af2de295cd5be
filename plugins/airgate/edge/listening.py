"""Sockets to listen on: an address and port, or a path."""

import os
import socket
import stat
from pathlib import Path

_BACKLOG = 2048


class CannotListen(Exception):
    """The address or path cannot be used; the text says which, and why."""


def on_address(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Args:
        host: An IPv4 or IPv6 address, or a name.
        port: 0 takes a free one.

    Raises:
        CannotListen: it is taken, or none of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from None


def on_path(path: Path) -> socket.socket:
    """Listen on a Unix socket, for its owner and group; one that a dead process left behind is replaced.

    Raises:
        CannotListen: somebody listens there, or something else than a socket is there.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        mask = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {path}: {error.strerror or error}") from None
    return listener


def _remove_stale(path: Path) -> None:
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError("there is something else than a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError("somebody else listens there")


def shown(listener: socket.socket, scheme: str) -> str:
    """Where a listener is, as a URL."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{scheme}://{host}:{name[1]}"


def host_and_port(text: str) -> tuple[str, int]:
    """`HOST:PORT`, an IPv6 address in brackets.

    Raises:
        ValueError: it is something else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
