"""Redis streams for Airflow's ``MessageQueueTrigger``: ``scheme="redis+stream"``.

Airflow imports this only where the provider ``common.messaging``, whose trigger asks for it, is installed too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.messaging.providers.base_provider import BaseMessageQueueProvider

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger


class RedisStreamQueueProvider(BaseMessageQueueProvider):
    """Says which trigger reads the scheme; its arguments are those of ``RedisStreamTrigger``."""

    scheme = "redis+stream"

    def trigger_class(self) -> type[BaseEventTrigger]:
        """The trigger."""
        from airgate.triggers.redis_stream import RedisStreamTrigger

        return RedisStreamTrigger
