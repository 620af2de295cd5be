"""What schemes have in common in which a page gives the address of the next one."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from airgate.client.pages import Page, PageRequest, Position
from airgate.client.paging.links import BadLink


def following(page: Page, link: str | None, *, query_only: bool) -> Position | None:
    """Where a link leads, None without one.

    Args:
        page: That has it.
        link: Absolute or relative.
        query_only: Whether only its query counts.

    Raises:
        InvalidResponse: It leads to another origin, or out of the gateway.
    """
    if link is None or not link.strip():
        return None
    try:
        if query_only:
            return {"query": page.links.query_of(link)}
        return {"link": page.links.path_of(link, page.response.url)}
    except BadLink as error:
        cure = "" if query_only else "; where only its query matters, query_only=True takes no more of it"
        raise page.response.invalid(f"the link to the next page {error}{cure}") from None


def asked_by(position: Position, first: dict[str, Any]) -> PageRequest:
    """What asks for the page there; ``first`` are the query parameters of the first one."""
    if position.get("link") is not None:
        return PageRequest(path=position["link"])
    if position.get("query") is not None:
        return PageRequest({**first, **parse_qs(position["query"], keep_blank_values=True)})
    return PageRequest(first)
