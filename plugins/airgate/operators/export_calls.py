"""The calls that ask for an export."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airgate.client.message import merged
from airgate.client.streamed import StreamedResponse
from airgate.hooks.call import Call

if TYPE_CHECKING:
    import pyarrow as pa

    from airgate.data.shape.batch import Batch
    from airgate.data.shape.misfit import Misfit
    from airgate.data.store.manifest import Manifest
    from airgate.hooks.gateway import GatewayHook


class ExportCalls:
    """Asks for an export as often as it must; it is the ``open_stream`` of ``extract_export``, and looks on at it.

    The connection's ``deadline`` holds until the body begins; the body may take as long as it does, up to the task's
    own deadline.

    Args:
        hook: Whose gateway.
        call: What gives the export.
    """

    def __init__(self, hook: GatewayHook, call: Call) -> None:
        self._hook = hook
        self._call = call
        self._place = ""
        self.ends: float | None = None
        """Unix time by which all must be over."""
        self.answered = 0
        """Pieces that have come. An answer counts for nothing as long as none of it is of use."""

    def come_back(self, place: str) -> None:
        """Let the next call take a place in the line of the gateway's own limits, where an earlier one had to leave."""
        self._place = place

    def __call__(self, headers: Mapping[str, str]) -> StreamedResponse:
        """Ask for the export.

        Args:
            headers: Added to those of the call.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        call = dataclasses.replace(self._call, headers=merged(self._call.headers or {}, headers))
        place, self._place = self._place, ""
        request = dataclasses.replace(self._hook.request(call), place=place)
        response = self._hook.send(request, deadline=self.ends, stream=True)
        assert isinstance(response, StreamedResponse)
        if self.ends is None:
            response.lift_deadline()
        return response

    def took(self, batch: Batch, table: pa.Table, misfits: Sequence[Misfit]) -> None:
        """A piece has come."""
        self.answered += 1

    def durable(self, manifest: Manifest) -> None:
        """Nothing to note."""
