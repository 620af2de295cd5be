"""Taking over a changed file while requests are served: at once for all of it, or not at all."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from airgate.edge.loading import FileRefused, Source

_log = logging.getLogger("airgate.edge")

_LOOK_SECONDS = 1.0

Take = Callable[[str], Awaitable[None]]
"""Serves a new text of the file from now on.

Raises:
    FileRefused: it is not served, and the earlier one still is.
"""


class Reloading:
    """Watches a file, and hands a new text of it to whoever serves it.

    Args:
        source: The file.
        text: What is served now.
        take: Serves a new text.
        watch: Whether a change of the file is enough; SIGHUP always is.
    """

    def __init__(self, source: Source, text: str, take: Take, *, watch: bool) -> None:
        self._source = source
        self.text = text
        """What is served."""
        self._take = take
        self._watch = watch
        self._stamp = _stamp(source.path)
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Reload when asked to or when the file changes, until cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS if self._watch else None):
                    await self._asked.wait()
            except TimeoutError:
                stamp = _stamp(self._source.path)
                if stamp is None or stamp == self._stamp:  # missing for a moment while it is replaced
                    continue
                self._stamp = stamp
                await self._reload(asked=False)
            else:
                self._asked.clear()
                self._stamp = _stamp(self._source.path)
                await self._reload(asked=True)

    async def _reload(self, *, asked: bool) -> None:
        try:
            text = self._source.read()
            if text == self.text and not asked:  # files that it names may have changed: then one asks
                return
            await self._take(text)
        except FileRefused as refused:
            _log.error("the changed file is not served, the earlier one still is:\n%s", "\n".join(refused.lines))
        except Exception:  # of the new file; the old one is still served
            _log.exception("the changed file cannot be served, the earlier one still is")
        else:
            self.text = text
            _log.info("serving the changed %s", self._source.path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file; also when a symbolic link above it is turned to another one, as Kubernetes does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
