"""Tasks that wait until a service behind the gateway says the right thing."""

from airgate.sensors.gateway import GatewaySensor

__all__ = ["GatewaySensor"]
