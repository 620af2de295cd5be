"""Where a proxied request goes: the path below the server's URL."""

from airgate.spec.routing import WILDCARD
from airgate.spec.url import Origin, collapse_slashes


def stripped_prefix(path: str) -> str | None:
    """The literal text that a route takes off the request's path, or None when it takes nothing off.

    Only a route that ends in a wildcard does: `/files/{.+}` takes off `/files`.
    """
    return path.removesuffix(f"/{WILDCARD}") if path.endswith(f"/{WILDCARD}") else None


def upstream_path(origin: Origin, prefix: str | None, path: str) -> str:
    """The path to send for a normalised request path, runs of slashes collapsed.

    The prefix goes only where it stands literally as whole segments; a prefix with parameters therefore stays.
    """
    if prefix is not None and (path == prefix or path.startswith(f"{prefix}/")):
        path = path[len(prefix) :]
    return collapse_slashes(f"{origin.path.rstrip('/')}/{path}")
