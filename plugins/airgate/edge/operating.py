"""`serve`: one process that serves a file, or several and one that keeps them."""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from airgate.edge import metrics
from airgate.edge.admin import State, administer
from airgate.edge.certificate import CertificateFiles
from airgate.edge.control import Start
from airgate.edge.listening import CannotListen, on_address, on_path, shown
from airgate.edge.listing import listing
from airgate.edge.loading import Source
from airgate.edge.reloading import Reloading, Watched, WatchedCertificate, WatchedFile
from airgate.edge.running import Operation, Process, log_to_stderr
from airgate.edge.server import DrainingServer
from airgate.edge.workers import Workers


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is served: host and port or the path of a Unix socket, and host and port of the admin pages."""

    at: tuple[str, int] | Path
    admin: tuple[str, int] | None = None
    workers: int = 1
    watch: bool = True
    """Whether a change of the file, or of what it names, is enough to reload it; SIGHUP always is."""


def operate(source: Source, text: str, place: Place, operation: Operation, say: Callable[[str], None]) -> int:
    """Serve a checked text of a file until a signal ends it; the exit code.

    Args:
        source: The file.
        text: Its text.
        place: Where.
        operation: How.
        say: Told where, once connections are taken.

    Raises:
        CannotListen: an address, path or log cannot be used.
        FileRefused: something that the file names is gone, or the certificate cannot be used.
    """
    log_to_stderr()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until somebody listens for it, it must not end the edge
    _check_log(operation)
    certificate = None if operation.tls is None else CertificateFiles(operation.tls)
    pair = None if certificate is None else certificate.read()
    counted = place.admin is not None and find_spec("prometheus_client") is not None
    operation = replace(operation, counted=counted)
    with ExitStack() as stack:
        # The path of a Unix socket goes with the drain; at the end it may be a successor's.
        listener = on_path(place.at) if isinstance(place.at, Path) else on_address(*place.at)
        stack.enter_context(listener)
        admin = None if place.admin is None else stack.enter_context(on_address(*place.admin))
        where = shown(listener, "http" if operation.tls is None else "https")
        said = f"serving {source.path} on {where} ({source.mode} mode)"
        if admin is not None:
            said += f", admin pages on {shown(admin, 'http')}/-/health"
        if place.workers == 1:
            process = Process(source, text, operation, pair)
            file, reloading = _reloading(source, text, certificate, process, watch=place.watch)
            return _alone(process, file, reloading, listener, admin, lambda: say(said))
        os.environ[metrics.DIRECTORY] = stack.enter_context(tempfile.TemporaryDirectory(prefix="airgate-edge-"))
        contents = source.files.contents
        start = Start(source.path, source.mode, source.settings, operation, text, contents, pair, source.stand_ins)
        workers = Workers(place.workers, listener, source, start)
        file, reloading = _reloading(source, text, certificate, workers, watch=place.watch)
        return asyncio.run(_keeping(workers, file, reloading, admin, lambda: say(said)))


def _reloading(
    source: Source, text: str, certificate: CertificateFiles | None, taking: Process | Workers, *, watch: bool
) -> tuple[WatchedFile, Reloading]:
    file = WatchedFile(source, text, taking.take)
    watched: list[Watched] = [file]
    if certificate is not None:
        watched.append(WatchedCertificate(certificate, taking.renew))
    return file, Reloading(watched, watch=watch)


def _alone(
    process: Process,
    file: WatchedFile,
    reloading: Reloading,
    listener: socket.socket,
    admin: socket.socket | None,
    announce: Callable[[], None],
) -> int:
    async def reload(_: DrainingServer) -> None:
        announce()  # not before: from here on a signal is heard
        await reloading.run()

    async def pages(server: DrainingServer) -> None:
        if admin is not None:
            state = State(
                ready=lambda: not server.should_exit,
                routes=lambda: listing(file.text),
                metrics=lambda: metrics.exposed(process.metrics),
            )
            await administer(admin, state)

    process.run(listener, [reload, pages])
    return 0


async def _keeping(
    workers: Workers,
    file: WatchedFile,
    reloading: Reloading,
    admin: socket.socket | None,
    announce: Callable[[], None],
) -> int:
    async def beside() -> None:
        announce()  # not before: from here on a signal is heard
        async with asyncio.TaskGroup() as group:
            group.create_task(reloading.run())
            if admin is not None:
                state = State(
                    ready=lambda: workers.ready,
                    routes=lambda: listing(file.text),
                    metrics=metrics.exposed_by_workers,
                )
                group.create_task(administer(admin, state))

    return await workers.run(beside)


def _check_log(operation: Operation) -> None:
    """Find out now, in one process, what would fail in each worker.

    Raises:
        CannotListen: the log cannot be used.
    """
    if operation.access_log not in (None, "-"):
        try:
            with open(operation.access_log, "ab"):  # noqa: PTH123 a name from the command line, as os.open takes it
                pass
        except OSError as error:
            raise CannotListen(f"cannot write {operation.access_log}: {error.strerror}") from None
