"""Ends what outlasts its time: a socket's own timeout is per receive, so a server that trickles never meets it."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time


class Watch:
    """One stretch of work on a connection; shut off at its end."""

    __slots__ = ("_handle", "_lock", "_owned", "active", "ends", "expired")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        """When it must be over, by ``time.monotonic``."""
        self.expired = False
        """Whether it was cut off."""
        self.active = True
        self._handle: socket.socket | None = None
        self._owned: list[socket.socket] = []
        self._lock = threading.Lock()

    def own(self, handle: socket.socket) -> None:
        """Take over a handle whose connection has no more use for it, though its last answer still comes in."""
        self._owned.append(handle)

    def finish(self) -> None:
        """Let go of everything."""
        self.active = False
        with self._lock:
            self._handle = None
        for handle in self._owned:
            handle.close()
        self._owned.clear()

    def hold(self, handle: socket.socket | None) -> None:
        """Name the socket that is shut when time is up; one that comes too late is shut at once."""
        with self._lock:
            self._handle = handle
            if self.expired:
                self._shut()

    def cut(self) -> None:
        """Shut the connection: whoever waits on it wakes up."""
        with self._lock:
            self.expired = True
            self._shut()

    def _shut(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):  # it was closed meanwhile
                self._handle.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """A thread, started at the first watch, that cuts what is over time.

    A watch costs two dictionary operations: the thread is woken only for an end that comes before the one it sleeps
    towards anyway.
    """

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # threads do not survive a fork

    def _forget(self) -> None:
        self._watches: dict[int, Watch] = {}
        self._wakes = math.inf
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def begin(self, watch: Watch) -> None:
        """Watch until ``end`` is said."""
        self._watches[id(watch)] = watch
        if watch.ends < self._wakes:
            with self._changed:
                self._wakes = min(self._wakes, watch.ends)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="airgate-watchdog", daemon=True)
                    self._thread.start()
                self._changed.notify()

    def end(self, watch: Watch) -> None:
        """Stop watching."""
        self._watches.pop(id(watch), None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                # Set before the look at the watches: one that comes in between wakes this thread once more.
                self._wakes = math.inf
                watches = list(self._watches.values())
                self._wakes = min((watch.ends for watch in watches if watch.ends > now), default=math.inf)
                overdue = [watch for watch in watches if watch.ends <= now]
            for watch in overdue:
                self.end(watch)
                watch.cut()
            with self._changed:
                if any(watch.ends < self._wakes for watch in list(self._watches.values())):
                    continue
                pause = self._wakes - time.monotonic()
                if pause > 0:
                    self._changed.wait(None if pause == math.inf else min(pause, threading.TIMEOUT_MAX))


watchdog = Watchdog()
"""The one of this process."""
