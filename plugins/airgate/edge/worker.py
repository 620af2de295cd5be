"""`python -m airgate.edge.worker`: one of several processes that serve a file, started by the one that keeps them."""

import asyncio
import os
import socket
import sys

from airgate.edge.control import Change, Served, encoded, order, received_first
from airgate.edge.loading import FileRefused, Source
from airgate.edge.named_files import NamedFiles
from airgate.edge.running import Process, log_to_stderr
from airgate.edge.server import DrainingServer


def main() -> int:
    """Serve on the listener, and obey the socket, whose descriptors are the arguments; end when the keeper is gone."""
    log_to_stderr()
    listener, control = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:3])
    start = received_first(control)
    if start is None:
        return 0
    files = NamedFiles(start.files)
    source = Source(start.path, start.mode, start.settings, os.environ, files, start.stand_ins)
    process = Process(source, start.text, start.operation, start.pair)

    async def obey(server: DrainingServer) -> None:
        reader, writer = await asyncio.open_connection(sock=control)
        writer.write(encoded(Served()))
        while (told := await order(reader)) is not None:
            try:
                if isinstance(told, Change):
                    files.begin(told.files)
                    await process.take(told.text)
                else:
                    await process.renew(told.pair)
            except FileRefused as refused:
                writer.write(encoded(Served("\n".join(refused.lines))))
            else:
                writer.write(encoded(Served()))
        server.should_exit = True

    process.run(listener, [obey], shared=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
