"""What goes wrong in a way that is told to the person at the terminal in words, without a traceback."""


class Failed(Exception):
    """The stack cannot go on; the message says what was tried, what came back and what to do."""
