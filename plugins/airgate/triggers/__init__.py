"""What waits in the triggerer, without a worker. Triggers send nothing that has an effect."""

from airgate.triggers.poll import PollTrigger
from airgate.triggers.wait import WaitTrigger

__all__ = ["PollTrigger", "WaitTrigger"]
