"""What the requests of a file's routes share in one process: counts, circuits, retries, cached answers."""

from typing import TYPE_CHECKING

from msgspec import UnsetType

from airgate.edge.circuits import Circuits
from airgate.edge.rates import MemoryRates, Rates, StoreRates
from airgate.edge.route_policies import FilePlan
from airgate.edge.slots import Slots
from airgate.policy.budget import RetryBudget
from airgate.policy.store import open_store
from airgate.spec.extension import CacheMemory as CacheSettings
from airgate.spec.extension import FileLimits

if TYPE_CHECKING:
    from airgate.edge.caching import AnswerCache


class SharedState:
    """The state of one file, empty at first.

    Args:
        policies: What holds for the file.
    """

    def __init__(self, policies: FilePlan) -> None:
        self._policies = policies
        limits = FileLimits() if isinstance(policies.file.limits, UnsetType) else policies.file.limits
        store = limits.store
        self.rates: Rates = MemoryRates() if isinstance(store, UnsetType) else StoreRates(open_store(store))
        self.slots = Slots()
        self.cache = _answer_cache(policies)
        breaker = policies.protection.breaker
        self.circuits = None if breaker is None else Circuits(breaker)
        self.budget = RetryBudget(policies.protection.retry_budget)

    def take_over(self, earlier: "SharedState") -> None:
        """Go on counting where an earlier file counts, also for its requests that are under way.

        What is counted are facts, such as when a client called: they hold under another limit as well. A circuit is
        kept where its server and the breaker are the same, answers where the memory of the cache is.
        """
        now, then = self._policies, earlier._policies
        self.slots = earlier.slots
        if isinstance(self.rates, MemoryRates) and isinstance(earlier.rates, MemoryRates):
            self.rates = earlier.rates
        if now.protection.retry_budget == then.protection.retry_budget:
            self.budget = earlier.budget
        if self.circuits is not None and earlier.circuits is not None:
            same = [server for server, origin in now.origins.items() if then.origins.get(server) == origin]
            self.circuits.take_over(earlier.circuits, same)
        if self.cache is not None and now.file.cache == then.file.cache:
            self.cache = earlier.cache or self.cache


def _answer_cache(policies: FilePlan) -> "AnswerCache | None":
    """The cache of this process, where a route has one; its library is not loaded otherwise."""
    if not any(route.cache for route in policies.routes):
        return None
    from airgate.edge.cache_memory import CacheMemory
    from airgate.edge.caching import AnswerCache

    memory = CacheSettings() if isinstance(policies.file.cache, UnsetType) else policies.file.cache
    return AnswerCache(CacheMemory(memory.bytes), memory.entry)
