"""TaskFlow decorators."""

from airgate.decorators.dataframe import dataframe_task

__all__ = ["dataframe_task"]
