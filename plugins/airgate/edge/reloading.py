"""Taking over what has changed while requests are served: at once for all of it, or not at all."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from airgate.edge.certificate import CertificateFiles, Pair
from airgate.edge.loading import FileRefused, Source

_log = logging.getLogger("airgate.edge")

_LOOK_SECONDS = 1.0


class Watched(Protocol):
    """Something that is served and may change."""

    @property
    def name(self) -> str:
        """How the log calls it."""

    def changed(self) -> bool:
        """Whether it is another one than at the last try to serve it."""

    async def reload(self) -> None:
        """Serve it as it is now.

        Raises:
            FileRefused: it is not served, and the earlier one still is.
        """


class WatchedFile:
    """The gateway's file, with those that it names.

    Args:
        source: The file.
        text: What is served now.
        take: Serves another text of it; raises `FileRefused`.
    """

    def __init__(self, source: Source, text: str, take: Callable[[str], Awaitable[None]]) -> None:
        self._source = source
        self.text = text
        """What is served."""
        self._take = take

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._source.path)

    def changed(self) -> bool:
        """Whether the file, or one that it names, has changed."""
        return self._source.files.changed()

    async def reload(self) -> None:
        """See `Watched`."""
        text = self._source.read()
        await self._take(text)
        self.text = text


class WatchedCertificate:
    """The certificate and its key.

    Args:
        files: Their files.
        take: Serves another pair.
    """

    def __init__(self, files: CertificateFiles, take: Callable[[Pair], Awaitable[None]]) -> None:
        self._files = files
        self._take = take
        self.name = files.name
        self.changed = files.changed

    async def reload(self) -> None:
        """See `Watched`."""
        await self._take(self._files.read())


class Reloading:
    """Looks whether something has changed, and has it served.

    Args:
        watched: What may change.
        watch: Whether a change is enough; SIGHUP always is.
    """

    def __init__(self, watched: Sequence[Watched], *, watch: bool) -> None:
        self._watched = watched
        self._watch = watch
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Reload what has changed, and everything when asked to, until cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS if self._watch else None):
                    await self._asked.wait()
            except TimeoutError:
                due = [each for each in self._watched if each.changed()]
            else:
                self._asked.clear()
                due = list(self._watched)
            for each in due:
                await _reload(each)


async def _reload(watched: Watched) -> None:
    try:
        await watched.reload()
    except FileRefused as refused:
        lines = "\n".join(refused.lines)
        _log.error("the changed %s is not served, the earlier one still is:\n%s", watched.name, lines)
    except Exception:  # of the new one; the old one is still served
        _log.exception("the changed %s cannot be served, the earlier one still is", watched.name)
    else:
        _log.info("serving the changed %s", watched.name)
