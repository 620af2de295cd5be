"""Which route serves a request: matching by segments, then the gateway's order of preference."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

WILDCARD = "{.+}"
ANY_METHOD = "ANY"


class Routed(Protocol):
    """What the table needs of a route: its method (any JSON value of the file) and its path."""

    @property
    def method(self) -> object:
        """The method as the file has it; only a text can match."""

    @property
    def path(self) -> str:
        """The path with parameters and wildcards."""


R = TypeVar("R", bound=Routed)


def is_parameter(segment: str) -> bool:
    """Whether a segment of a configured path stands for any one segment, also the empty one."""
    return segment.startswith("{") and segment.endswith("}") and segment != WILDCARD


@dataclass(frozen=True, slots=True)
class Pattern:
    """A configured path, cut into segments.

    `compared` are the segments before the first wildcard; comparison ends there. `tail` says that the path ends in
    a wildcard, which any number of further segments (also none) satisfies.
    """

    length: int
    compared: tuple[str, ...]
    wild: bool
    tail: bool
    parameters: bool

    @classmethod
    def of(cls, path: str) -> "Pattern":
        """The pattern of a configured path."""
        segments = path.split("/")
        wild = WILDCARD in segments
        compared = tuple(segments[: segments.index(WILDCARD)] if wild else segments)
        parameters = any(map(is_parameter, compared))
        return cls(len(segments), compared, wild, segments[-1] == WILDCARD, parameters)

    def rank(self, length: int) -> tuple[bool, int, bool]:
        """Sort key against a matching request of `length` segments, smaller first.

        Exact before inexact (a wildcard does not make a match inexact, a parameter does), then the larger number of
        segments in play, then paths without wildcard.
        """
        count = min(self.length, length) if self.wild else self.length
        exact = not self.parameters and count == self.length == length
        return (not exact, -count, self.wild)


@dataclass(slots=True)
class _Node(Generic[R]):
    """One place in the tree of compared segments; each list keeps (order in the file, pattern, route)."""

    literals: dict[str, "_Node[R]"] = field(default_factory=dict)
    parameter: "_Node[R] | None" = None
    ends: list[tuple[int, Pattern, R]] = field(default_factory=list)
    tails: list[tuple[int, Pattern, R]] = field(default_factory=list)
    inner: dict[int, list[tuple[int, Pattern, R]]] = field(default_factory=dict)

    def child(self, segment: str) -> "_Node[R]":
        if not is_parameter(segment):
            return self.literals.setdefault(segment, _Node())
        if self.parameter is None:
            self.parameter = _Node()
        return self.parameter

    def following(self, segment: str) -> Iterator["_Node[R]"]:
        literal = self.literals.get(segment)
        if literal is not None:
            yield literal
        if self.parameter is not None:
            yield self.parameter

    def reaching(self, length: int) -> Iterator[tuple[int, Pattern, R]]:
        """The paths with a wildcard at the end that so many segments suffice for."""
        for tail in self.tails:
            if tail[1].length <= length + 1:  # more are asked for only where another wildcard comes before
                yield tail


class RouteTable(Generic[R]):
    """All routes, compiled once into a tree, so that the cost of a request does not grow with their number."""

    def __init__(self, routes: Iterable[R]) -> None:
        self._root: _Node[R] = _Node()
        for order, route in enumerate(routes):
            if route.path.startswith("/"):  # any other path can never match
                self._add(order, route)

    def _add(self, order: int, route: R) -> None:
        pattern = Pattern.of(route.path)
        node = self._root
        for segment in pattern.compared:
            node = node.child(segment)
        if pattern.tail:
            place = node.tails
        elif pattern.wild:
            place = node.inner.setdefault(pattern.length, [])
        else:
            place = node.ends
        place.append((order, pattern, route))

    def matches(self, method: str, path: str) -> list[R]:
        """The routes that serve a method and a normalised path, the preferred one first."""
        segments = path.split("/")
        length = len(segments)
        serving = [each for each in self._candidates(segments) if each[2].method in (method, ANY_METHOD)]
        if len(serving) > 1:
            serving.sort(key=lambda each: (*each[1].rank(length), each[2].method != method, each[0]))
        return [route for _, _, route in serving]

    def _candidates(self, segments: list[str]) -> Iterator[tuple[int, Pattern, R]]:
        length = len(segments)
        level = [self._root]
        for segment in segments:
            for node in level:
                yield from node.reaching(length)
                yield from node.inner.get(length, ())
            level = [child for node in level for child in node.following(segment)]
            if not level:
                return
        for node in level:
            yield from node.ends
            yield from node.reaching(length)
