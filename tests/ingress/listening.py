"""A program: says whether airgate listens in this process, and in children of it. ``listening [Airflow's command]``."""

from __future__ import annotations

import multiprocessing
import os
import sys

from airflow.listeners.listener import get_listener_manager

from airgate.ingress.listener import EndedListener


def listens() -> bool:
    """Whether Airflow tells airgate of ends here."""
    return any(isinstance(plugin, EndedListener) for plugin in get_listener_manager().pm.get_plugins())


def forked() -> bool:
    """What a forked child says."""
    child = os.fork()
    if child == 0:
        os._exit(int(listens()))
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def say(queue: multiprocessing.Queue[bool]) -> None:
    """In a child."""
    queue.put(listens())


def spawned() -> bool:
    """What a child says that began anew."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=say, args=(queue,))
    child.start()
    try:
        return bool(queue.get(timeout=60))
    finally:
        child.join(60)


def main(arguments: list[str]) -> None:
    """Run it."""
    if arguments == ["api-server"]:
        from airflow.plugins_manager import get_fastapi_plugins

        get_fastapi_plugins()
    print("listens:", int(listens()), int(forked()), int(spawned()))


if __name__ == "__main__":
    main(sys.argv[1:])
