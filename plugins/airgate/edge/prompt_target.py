"""Requests whose answer the app knows without being asked, which spares the task and the messages of a call."""

from collections.abc import Callable
from typing import Any

from airgate.edge.exact_target import ExactTarget


class PromptTarget(ExactTarget):
    """Asks an app that has `at_once` for the bytes of an answer, as `airgate.edge.serving.Serving.at_once`.

    An app without it is called for each request, and so is one that gives no answer or fails to.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prompt: Callable[..., bytes | None] | None = getattr(self.app, "at_once", None)
        self._ready: bytes | None = None
        self._stays = True

    def is_answered(self, scope: dict[str, Any], *, stays: bool) -> bool:
        """Whether the answer to a request without a body is known; it goes out with the end of the request.

        Answers keep their order, and a client that does not read them is waited for: so it is only asked where all
        requests before have theirs, and nothing is held back.

        Args:
            scope: What ASGI tells of the request.
            stays: Whether the connection is kept after it.
        """
        if self._prompt is None or not self.free or self.flow.write_paused or self.server_state.default_headers:
            return False
        try:
            self._ready = self._prompt(scope, keep_alive=stays)
        except Exception:  # the app is called as ever, and answers for its faults
            return False
        self._stays = stays
        return self._ready is not None

    def on_message_complete(self) -> None:
        """Send what is ready, and note that the next bytes begin another request."""
        ready = self._ready
        if ready is None:
            super().on_message_complete()
            return
        self._ready = None
        self._in_request_line = True
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.transport.write(ready)
        if self._stays:
            self.rest()
        else:
            self.transport.close()
