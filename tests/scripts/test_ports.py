"""Which ports the stack takes."""

import socket

import pytest

from stack import ports


def test_the_usual_ports_are_taken_when_free() -> None:
    """Where nothing else listens, everybody finds the services where the documentation says."""
    assert ports.choose(free=lambda port: True) == ports.DEFAULTS


def test_a_port_that_somebody_listens_on_is_left_alone() -> None:
    """With a real listener on the wanted port, the chosen one is another, and a server can have it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wanted = listener.getsockname()[1]
        chosen = ports.choose({"edge": wanted})["edge"]
        assert chosen != wanted
        with socket.create_server(("127.0.0.1", chosen)):
            assert not ports.is_free(chosen)


def test_no_port_is_given_twice_and_nobody_takes_anothers() -> None:
    """A service that has to move up skips both what was given out and what another one wants."""
    chosen = ports.choose({"a": 9001, "b": 9002, "c": 9001}, free=lambda port: port != 9001)
    assert chosen == {"a": 9003, "b": 9002, "c": 9004}


def test_a_full_machine_is_told_in_words() -> None:
    """When nothing is free, the error names the service and the range that was tried."""
    with pytest.raises(ports.NoFreePort, match="edge between 8787 and 8987"):
        ports.choose({"edge": 8787}, free=lambda port: False)
