"""Signals that ask a program to end, as an exception. Standard library only: bootstrap.py uses it too."""

from __future__ import annotations

import signal


class Interrupted(BaseException):
    """A signal asked for the end. Not an `Exception`, so that nothing on the way swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The shell's convention: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number


class Interrupts:
    """The signal handler: raises `Interrupted`, at once or, inside `with`, at the end of the block; but only one ever.

    A second Ctrl-C changes nothing: it would cut short the clean-up that the first one began.
    """

    def __init__(self) -> None:
        self._caught = 0
        self._held = False

    def __call__(self, number: int, _frame: object) -> None:
        """Handle signal `number`."""
        if self._caught:
            return
        self._caught = number
        if not self._held:
            raise Interrupted(number)

    def install(self) -> None:
        """Handle what asks a program to end. Ctrl-C counts even where a shell had it ignored for a background job."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                signal.signal(number, self)

    def ignore(self) -> None:
        """From here on the program is ending anyway, and its clean-up must not be cut short."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def __enter__(self) -> None:
        """Begin what must not be left half done: starting a child whose id we would then not know."""
        self._held = True

    def __exit__(self, *_: object) -> None:
        """Raise now what came meanwhile."""
        self._held = False
        if self._caught:
            raise Interrupted(self._caught)


INTERRUPTS = Interrupts()
