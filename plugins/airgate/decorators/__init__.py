"""TaskFlow decorators."""

from airgate.decorators.dataframe import dataframe_task
from airgate.decorators.frame_signature import Columns, Frames
from airgate.decorators.gateway import gateway_task
from airgate.hooks.call import Call

__all__ = ["Call", "Columns", "Frames", "dataframe_task", "gateway_task"]
