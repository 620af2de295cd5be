"""Where a link that a service gives may lead: to the same gateway and nowhere else.

A link is a stranger's text. Its host is compared and never used: what is sent goes to the connection's own address, so
that no credential can follow a link to another place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote_plus, urljoin, urlsplit

from airgate.client.message import join_url

_PORTS = {"http": 80, "https": 443}
_PATH = "/:@!$&'()*+,;=~%"
_QUERY = _PATH + "?[]"


class BadLink(ValueError):
    """A link that is not followed; says why."""


@dataclass(frozen=True, slots=True)
class LinkScope:
    """What the links of a read are held against."""

    base_url: str = ""
    """The gateway's address; links must lie below it. Empty for the origin of the page that has the link."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The connection's own, of its auth: a query parameter of a link that echoes one is left out, since each request
    gets it anew, and a checkpoint must not hold it. One shorter than 4 characters could be any value, and stays."""

    def path_of(self, link: str, page_url: str) -> str:
        """The path below the gateway, with its query, that a link leads to.

        Args:
            link: Absolute, or relative to the page (RFC 3986, 5.2).
            page_url: The URL of the page that has it.

        Raises:
            BadLink: It leads to another origin, outside the gateway, or nowhere.
        """
        base = urlsplit(self.base_url or page_url)
        prefix = base.path.rstrip("/") if self.base_url else ""
        try:
            target = urlsplit(urljoin(page_url, link.strip()))
            origin, home = _origin(target), _origin(base)
        except ValueError as error:
            raise BadLink(f"is no address ({error})") from None
        if origin != home:
            raise BadLink(f"leads to another origin, {origin}, and nothing was sent there; this gateway is {home}")
        if link.strip().startswith("#"):
            raise BadLink("leads to the page itself")
        path = target.path or "/"
        if path != prefix and not path.startswith(f"{prefix}/"):
            raise BadLink(f"leads to {path}, which is not below the gateway's path {prefix}")
        below = path[len(prefix) :] or "/"
        query = self.query_of(link)
        below = quote(below, safe=_PATH) + (f"?{query}" if query else "")
        try:
            join_url("http://gateway", below)
        except ValueError as error:
            raise BadLink(f"leads to a path that servers may read in different ways ({error})") from None
        return below

    def query_of(self, link: str) -> str:
        """The query of a link, without parameters that hold a secret of the connection.

        Raises:
            BadLink: It is no address.
        """
        try:
            query = urlsplit(link.strip()).query
        except ValueError as error:
            raise BadLink(f"is no address ({error})") from None
        secrets = {secret for secret in self.secrets if len(secret) >= 4}
        kept = (part for part in query.split("&") if unquote_plus(part.partition("=")[2]) not in secrets)
        return quote("&".join(kept), safe=_QUERY)


def _origin(split: SplitResult) -> str:
    """Scheme, host and port in one form (RFC 6454, 4)."""
    name = (split.hostname or "").rstrip(".")
    shown = f"[{name}]" if ":" in name else name
    return f"{split.scheme}://{shown}:{split.port or _PORTS.get(split.scheme, 0)}"
