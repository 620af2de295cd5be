"""Which forward proxy a request goes through: the same for both drivers."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from airgate.client.gateway import Gateway

_NAMES = ("http_proxy", "https_proxy", "all_proxy")


def proxy_for(gateway: Gateway, url: str) -> str | None:
    """The proxy's address, None for none.

    The connection's own, else what ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say, read as
    requests reads them.

    Raises:
        ValueError: The environment names a kind of proxy that cannot be used.
    """
    if gateway.proxy is not None:
        return gateway.proxy
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _NAMES):
        return None
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in {"http", "https"}:
        raise ValueError(f"the environment names a {scheme} proxy; only http and https proxies can be used: set proxy")
    if gateway.address_guard:
        raise ValueError("address_guard cannot hold behind the proxy of the environment; name the host in NO_PROXY")
    return proxy


def credentials(proxy: str) -> tuple[str, str] | None:
    """User and password that stand in a proxy's address."""
    split = urlsplit(proxy)
    if split.username is None:
        return None
    return unquote(split.username), unquote(split.password or "")


def without_credentials(proxy: str) -> str:
    """The proxy's address as it may be connected to and shown."""
    split = urlsplit(proxy)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}"
