"""Ways to read a collection page by page; how to write one's own stands in ``airgate.client.pages``."""

from airgate.client.pages import CursorPages, NumberedPages, OffsetPages, Page, Paginator, Position

__all__ = ["CursorPages", "NumberedPages", "OffsetPages", "Page", "Paginator", "Position"]
