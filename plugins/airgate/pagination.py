"""Ways to read a collection page by page, in an operator or by oneself; docs/pagination.md has one's own as well."""

from airgate.client.pages import Page, PageRequest, Paginator, Position
from airgate.client.paging.cursor import CursorPages
from airgate.client.paging.guard import GuardSettings
from airgate.client.paging.keyset import KeysetPages
from airgate.client.paging.link_header_pages import LinkHeaderPages
from airgate.client.paging.links import LinkScope
from airgate.client.paging.next_url import NextUrlPages
from airgate.client.paging.numbered import NumberedPages
from airgate.client.paging.offset import OffsetPages
from airgate.client.paging.single import SinglePage
from airgate.data.read.page_fetch import PageFetch
from airgate.data.read.pages import Reached, read_pages

__all__ = [
    "CursorPages",
    "GuardSettings",
    "KeysetPages",
    "LinkHeaderPages",
    "LinkScope",
    "NextUrlPages",
    "NumberedPages",
    "OffsetPages",
    "Page",
    "PageFetch",
    "PageRequest",
    "Paginator",
    "Position",
    "Reached",
    "SinglePage",
    "read_pages",
]
