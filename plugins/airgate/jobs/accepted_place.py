"""Where a service says that a job or its result is, as a place below the gateway.

The host of a link is compared and never used: requests go to the connection's own address, and no credential follows a
link to another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote_plus, urljoin, urlsplit

from airgate.client.message import Response, join_url
from airgate.client.paging.links import BadLink, LinkScope
from airgate.client.sealing import Unsealed
from airgate.jobs.accepted_asks import prefix_of
from airgate.jobs.sealed_ask import SealedAsk
from airgate.jobs.talk import Ask
from airgate.policy.redaction import is_secret_name

if TYPE_CHECKING:
    from airgate.jobs.accepted import Accepted

Place = Mapping[str, Any]
"""``path`` below the gateway, with its query where that may be read, else with ``query`` beside it."""

Foreign = Literal["refuse", "path"]


@dataclass(frozen=True, slots=True)
class Places:
    """How a service's links are read."""

    under: str = ""
    """Path of the gateway's own address, such as ``/prod``."""
    prefix: str | None = None
    """Path below the gateway at which the service's own paths begin; None where links have it already."""
    foreign: Foreign = "refuse"
    """What is done with another host's address: refused, or its path taken onto the gateway."""

    @classmethod
    def of(cls, fields: Accepted, under: str) -> Places:
        """As the fields of the work say."""
        prefix = fields.base if fields.location_prefix is None else fields.location_prefix
        known = fields.location_prefix is not None or bool(prefix_of(prefix))
        return cls(under, prefix_of(prefix) if known else None, fields.foreign_location)

    def place(self, link: str, answer: Response) -> Place:
        """The place that a link of an answer leads to.

        Raises:
            InvalidResponse: It leads to another host, or out of the gateway.
        """
        try:
            target = LinkScope(base_url=_origin(answer.url) + self.under).path_of(
                self._onto_gateway(link.strip(), answer.url), answer.url
            )
        except (BadLink, ValueError) as error:
            raise answer.invalid(
                f"the address that it gives {error}. Where the gateway serves that path, set location_prefix to the "
                "path that it puts before the service's own, and foreign_location='path' if the host is the service's"
            ) from None
        return place_of(target)

    def _onto_gateway(self, link: str, page_url: str) -> str:
        """The whole address with what the gateway puts before the service's path."""
        target, bare = urlsplit(urljoin(page_url, link)), urlsplit(link)
        origin = _origin(page_url) if self.foreign == "path" else f"{target.scheme}://{target.netloc}"
        path = target.path or "/"
        # A link relative to the page is in the gateway's words already: so is the page's address.
        if bare.netloc or bare.path.startswith("/"):
            path = self._prefixed(path)
        return f"{origin}{path}" + (f"?{target.query}" if target.query else "")

    def _prefixed(self, path: str) -> str:
        if self.prefix is None:
            return f"{self.under}{path}" if self.foreign == "path" and not _below(self.under, path) else path
        if _below(self.under + self.prefix, path):
            return path
        return f"{self.under}{path}" if self.prefix and _below(self.prefix, path) else self.under + self.prefix + path


def place_of(target: str) -> Place:
    """The place of a path with its query; one that holds a secret stands apart, to be sealed."""
    path, _, query = target.partition("?")
    names = (unquote_plus(part.partition("=")[0]) for part in query.split("&"))
    if not any(is_secret_name(name) for name in names):
        return {"path": target}
    return {"path": path, "query": Unsealed(query, path)}


def ask_at(place: Place, method: str = "GET", expect: Collection[int] | None = None) -> Ask:
    """The request for a place."""
    query = place.get("query")
    if query is None:
        return Ask(method, place["path"], expect=expect)
    if isinstance(query, Unsealed):
        return Ask(method, f"{place['path']}?{query.text}", expect=expect)
    return SealedAsk(method, place["path"], expect=expect, sealed=query["sealed"])


def under_of(ask: Ask, answer: Response) -> str:
    """The path of the gateway's own address: what stands before the path that was asked for."""
    asked = urlsplit(join_url("http://gateway", ask.path, ask.path_params)).path
    path = urlsplit(answer.url).path
    return path[: -len(asked)] if path.endswith(asked) else ""


def _origin(url: str) -> str:
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}"


def _below(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
