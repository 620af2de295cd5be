"""How many requests of a route, and of a client, are under way at the same time."""

from collections.abc import Sequence

from airgate.policy.limits import Scope


class Slots:
    """Counts in this process. Whoever enters must leave."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def enter(self, scopes: Sequence[Scope]) -> Scope | None:
        """Take a slot of every scope, or nothing; then the scope that is full comes back."""
        taken = self._taken
        for scope in scopes:
            most = scope.limit.concurrency
            if most is not None and taken.get(scope.key, 0) >= most:
                return scope
        for scope in scopes:
            taken[scope.key] = taken.get(scope.key, 0) + 1
        return None

    def leave(self, scopes: Sequence[Scope]) -> None:
        """Give the slots back."""
        for scope in scopes:
            left = self._taken.get(scope.key, 0) - 1
            if left > 0:
                self._taken[scope.key] = left
            else:
                self._taken.pop(scope.key, None)
