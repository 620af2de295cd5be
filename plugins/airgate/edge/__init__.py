"""The local gateway: an ASGI app that serves the gateway's file on a laptop, in tests and in compose."""

from airgate.edge.app import Edge
from airgate.edge.settings import Settings

__all__ = ["Edge", "Settings"]
