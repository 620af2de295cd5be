"""Turning new connections away without losing any: a listener cannot be emptied and closed in one step.

What the kernel has accepted between the last `accept` and `close` is reset, and with it a request that its client has
sent. So new handshakes are ignored first, while those under way are completed and served; then nothing waits when the
listener is closed. A client whose handshake was ignored tries again by itself, and is refused by then.
"""

import contextlib
import ctypes
import socket
import struct
import sys
from pathlib import Path

SETTLE_SECONDS = 0.1
"""How long handshakes that are under way may take."""

_SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h; the socket module does not name it
# A classic BPF program on the TCP header: of its flags (byte 13), SYN without ACK drops the segment.
_NO_NEW_HANDSHAKE = (
    (0x30, 0, 0, 13),  # load the byte
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # when SYN alone is left
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # else pass
)


def turn_new_away(listener: socket.socket) -> None:
    """Let no new connection begin on a listener; where the system has no way to, it stays as it is.

    The listener is affected in all processes that share it. A Unix socket loses its path, at which none finds it then.
    """
    with contextlib.suppress(OSError):
        if listener.family == socket.AF_UNIX:
            Path(listener.getsockname()).unlink()
        elif sys.platform == "linux":
            program = b"".join(struct.pack("HBBI", *step) for step in _NO_NEW_HANDSHAKE)
            held = ctypes.create_string_buffer(program, len(program))
            pointer = struct.pack("HP", len(_NO_NEW_HANDSHAKE), ctypes.addressof(held))
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
