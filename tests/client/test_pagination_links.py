"""Schemes in which a page leads to the next one by a link."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.client.message import Response, headers_of
from airgate.client.paging.link_header import WebLink, parse_links
from airgate.client.paging.links import LinkScope
from airgate.client.splitting import split_page
from airgate.pagination import LinkHeaderPages, NextUrlPages, Page, PageRequest
from airgate.policy.errors import InvalidResponse

SCOPE = LinkScope("https://gw.example/v1", ("k3y/s",))
ASKED = "https://gw.example/v1/items/list?api_key=***&page=1"


def page(body: Any = None, *, links: list[str] | None = None, scope: LinkScope = SCOPE, **headers: str) -> Page:
    pairs = [*headers.items(), *(("Link", link) for link in links or [])]
    content = json.dumps({"data": [{}], **(body or {})}).encode()
    return split_page(Response(200, headers_of(pairs), content, "GET", ASKED), "data", links=scope)


@pytest.mark.parametrize(
    ("value", "links"),
    [
        ('<a>; rel="next"', [("a", {"next"})]),
        ("<a>;rel=next", [("a", {"next"})]),
        ("<a> ; REL = NeXt", [("a", {"next"})]),
        ('<a?x=1,2;3>; rel="next", <b>; rel=prev', [("a?x=1,2;3", {"next"}), ("b", {"prev"})]),
        ('<a>; title="b, <c>; rel=next"; rel=prev,<d>;rel=next', [("a", {"prev"}), ("d", {"next"})]),
        (r'<a>; title="\", <c>; rel=next"; rel=prev', [("a", {"prev"})]),
        ('<a>; rel="last next https://example.org/rel"', [("a", {"last", "next", "https://example.org/rel"})]),
        ("<a>; rel=first; rel=next", [("a", {"first"})]),
        (r'<a>; rel="n\ext"', [("a", {"next"})]),
        (" , ,<a>;;rel=next;, <b>", [("a", {"next"}), ("b", set())]),
        ("<a>; title*=UTF-8''%e2%82%ac; rel=next", [("a", {"next"})]),
        ("<>; rel=next", [("", {"next"})]),
        ("a; rel=next", []),
        ("", []),
    ],
)
def test_link_headers_are_read_by_rfc_8288(value: str, links: list[tuple[str, set[str]]]) -> None:
    """Quotes, escapes, several relations, stray separators and repeated parameters."""
    assert list(parse_links(value)) == [WebLink(target, frozenset(names), False) for target, names in links]


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://gw.example/v1/items?page=2", "/items?page=2"),
        ("https://GW.EXAMPLE:443/v1/items?page=2", "/items?page=2"),
        ("/v1/items?page=2", "/items?page=2"),
        ("?page=2", "/items/list?page=2"),
        ("more?page=2", "/items/more?page=2"),
        ("../items?page=2", "/items?page=2"),
        ("https://me:secret@gw.example/v1/items", "/items"),
        ("?page=2&api_key=k3y%2Fs&after=x", "/items/list?page=2&after=x"),
        ("?token=AbC%3D&sig=1", "/items/list?token=AbC%3D&sig=1"),
        ("/v1/{x}/é b?q={y}&z=a|b#part", "/%7Bx%7D/%C3%A9%20b?q=%7By%7D&z=a%7Cb"),
    ],
)
def test_a_link_becomes_a_path_below_the_gateway(link: str, path: str) -> None:
    """Relative ones are resolved against the page; credentials of the connection and of the address are left out."""
    assert NextUrlPages().after({"link": None}, page({"next": link})) == {"link": path}
    assert LinkHeaderPages().after({"link": None}, page(links=[f'<{link}>; rel="next"'])) == {"link": path}


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("https://evil.example/v1/items", "leads to another origin, https://evil.example:443, and nothing was sent"),
        ("//evil.example/v1/items", "another origin, https://evil.example:443"),
        ("http://gw.example/v1/items", "another origin, http://gw.example:80"),
        ("https://gw.example:8443/v1/items", "another origin, https://gw.example:8443"),
        ("https://gw.example@evil.example/v1", "another origin, https://evil.example:443"),
        (r"https://gw.example\@evil.example/v1", "another origin"),
        ("javascript:alert(1)", "another origin"),
        ("/v2/items", "leads to /v2/items, which is not below the gateway's path /v1"),
        ("/v1beta/items", "not below the gateway's path"),
        ("/v1/../admin", "not below the gateway's path"),
        ("/v1/%2e%2e/admin", "read in different ways"),
        ("/v1//evil.example/items", "read in different ways"),
        ("https://gw.example:port/", "is no address"),
        ("#top", "leads to the page itself"),
    ],
)
def test_a_link_elsewhere_is_refused(link: str, message: str) -> None:
    """The error names where it leads and what can be done; nothing is ever sent to a place that a service names."""
    with pytest.raises(InvalidResponse, match=message) as caught:
        NextUrlPages().after({"link": None}, page({"next": link}))
    assert "query_only=True" in str(caught.value)
    assert "api_key=***" in str(caught.value)


def test_a_service_that_does_not_know_its_address_can_be_read_by_the_query() -> None:
    """Behind a gateway links often name the inner host: query_only takes their query and nothing else."""
    for pages, answer in (
        (NextUrlPages(query_only=True), page({"next": "http://inner:8080/x?page=2&tag=a&tag=b&api_key=k3y/s"})),
        (LinkHeaderPages(query_only=True), page(links=["<http://inner:8080/x?page=2&tag=a&tag=b>; rel=next"])),
    ):
        position = pages.after({"link": None}, answer)
        assert position == {"query": "page=2&tag=a&tag=b"}
        request = pages.request(position)
        assert request.path is None
        assert request.params == {pages.limit_param: 100, "page": ["2"], "tag": ["a", "b"]}


@pytest.mark.parametrize(
    ("links", "after"),
    [
        (['<?p=2>; rel="next"'], {"link": "/items/list?p=2"}),
        (['<?p=0>; rel="prev", <?p=2>; rel="next"'], {"link": "/items/list?p=2"}),
        (['<?p=0>; rel="prev"', '<?p=2>; rel="last next"'], {"link": "/items/list?p=2"}),
        (['<?p=9>; rel="next"; anchor="#other", <?p=2>; rel=next'], {"link": "/items/list?p=2"}),
        (['<?p=0>; rel="prev"'], None),
        ([], None),
    ],
)
def test_the_next_link_is_found_among_several(links: list[str], after: dict[str, str] | None) -> None:
    """Also over several headers; a link of something else than the page does not count."""
    assert LinkHeaderPages().after({"link": None}, page(links=links)) == after


@pytest.mark.parametrize("body", [{}, {"next": None}, {"next": ""}, {"next": " "}])
def test_no_address_ends_the_read(body: dict[str, Any]) -> None:
    """Missing, null and empty are the same."""
    assert NextUrlPages().after({"link": None}, page(body)) is None


def test_an_address_that_is_none_does_not_end_the_read() -> None:
    """The error names the field and the type, not the value, which may hold a secret."""
    with pytest.raises(InvalidResponse, match=r"'paging\.next' must be an address, not of type dict"):
        NextUrlPages(next_field="paging.next").after({"link": None}, page({"paging": {"next": {"href": "x"}}}))


@pytest.mark.parametrize("pages", [NextUrlPages(), LinkHeaderPages()])
def test_a_link_is_asked_for_as_it_is(pages: NextUrlPages | LinkHeaderPages) -> None:
    """It has the whole query already; the page size belongs to the first request."""
    assert pages.request(pages.first()) == PageRequest({pages.limit_param: 100})
    assert pages.params(pages.first()) == {pages.limit_param: 100}
    assert pages.request({"link": "/items?page=2"}) == PageRequest(path="/items?page=2")
    assert pages.params({"link": "/items?page=2"}) == {}


def test_without_a_gateway_the_page_own_origin_holds() -> None:
    """Where nobody says what the gateway's address is, paths count from the origin on."""
    answer = page({"next": "/other?page=2"}, scope=LinkScope())
    assert NextUrlPages().after({"link": None}, answer) == {"link": "/other?page=2"}


def test_secrets_are_not_shown() -> None:
    """Neither those of the scope nor what a request or position would send."""
    shown = repr((SCOPE, page(), PageRequest(path="/x?token=abc", params={"a": "abc"}, headers={"b": "abc"})))
    assert "k3y" not in shown
    assert "abc" not in shown


def test_totals_are_told_beside_links() -> None:
    """By header or field; what is no number is refused."""
    assert LinkHeaderPages().total(page(**{"X-Total-Count": "42"})) == 42
    assert LinkHeaderPages(total_field="n").total(page({"n": 42})) == 42
    assert NextUrlPages(total_field="count").total(page({"count": 7})) == 7
    assert LinkHeaderPages().total(page()) is None
