"""Strict mode's look for routes that can never be chosen, by the gateway's own order of preference.

Preference looks at patterns, methods and the number of segments only. So a route that loses with segments that no
other route names loses with any: special segments bring it more rivals and take none away. One such request for each
number of segments decides; beyond the longest path of the file nothing changes any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airgate.spec.problem import Problem, at
from airgate.spec.routing import ANY_METHOD, Pattern, RouteTable, is_parameter

_UNNAMED = "\x00"
"""A segment, and a method, that no file can name."""


@dataclass(frozen=True, slots=True)
class _Placed:
    position: int
    method: str
    path: str

    def witnesses(self, longest: int) -> Iterator[str]:
        """Paths that stand for all that the route matches."""
        pattern = Pattern.of(self.path)
        plain = [_UNNAMED if is_parameter(segment) else segment for segment in pattern.compared]
        lengths = range(pattern.length - 1, longest + 2) if pattern.tail else [pattern.length]
        for length in lengths:
            yield "/".join([*plain, *[_UNNAMED] * (length - len(plain))])


def shadow_problems(routes: Sequence[object]) -> Iterator[Problem]:
    """The routes of a file in whose place another one always answers."""
    known = [
        _Placed(position, route["method"], route["path"])
        for position, route in enumerate(routes)
        if isinstance(route, dict) and isinstance(route.get("method"), str) and isinstance(route.get("path"), str)
    ]
    table = RouteTable(known)
    longest = max((Pattern.of(route.path).length for route in known), default=0)
    for route in known:
        if not route.path.startswith("/"):
            continue
        method = _UNNAMED if route.method == ANY_METHOD else route.method
        winners = [table.matches(method, path)[0] for path in route.witnesses(longest)]
        if route not in winners:
            beaten = " and ".join(dict.fromkeys(f"/paths/{winner.position}" for winner in winners))
            what = f"the route can never be chosen: whatever it matches goes to {beaten}"
            yield at(("paths", route.position), what, "Remove it, or change the path or method of one of them")
