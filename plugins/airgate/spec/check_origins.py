"""Strict mode's look at the origins of `cors`: a pattern that lets in hosts of strangers is refused."""

import re
from collections.abc import Iterator

from airgate.spec.problem import Problem, at

# `https://*.example.com`, with a port or `*` for any: the star stands for labels before a name of at least two labels.
_SAFE = re.compile(
    r"https?://\*\.([a-z0-9-]+\.)+[a-z][a-z0-9-]*(:([0-9]+|\*))?|https?://(localhost|127\.0\.0\.1|\[::1\]):\*"
)
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?|null|[a-z][a-z0-9+.-]*://[a-z0-9._-]+")


def origin_problems(cors: object) -> Iterator[Problem]:
    """The entries of `cors.allow_origins` that admit strangers, or that no browser ever sends."""
    origins = cors.get("allow_origins") if isinstance(cors, dict) else None
    for position, entry in enumerate(origins if isinstance(origins, list) else ()):
        here = ("cors", "allow_origins", position)
        if not isinstance(entry, str) or entry == "*":
            continue
        if "*" in entry and not _SAFE.fullmatch(entry):
            what = f"the pattern {entry!r} admits hosts of strangers, as each * stands for any text"
            yield at(here, what, "List the origins, or write https://*.example.com for the hosts below a domain")
        elif "*" not in entry and not _ORIGIN.fullmatch(entry):
            what = f"no browser sends the origin {entry!r}"
            yield at(here, what, "Write scheme, host in small letters, and port if any, without a slash at the end")
