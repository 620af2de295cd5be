"""Goes through all histories of a scenario, or through some that are chosen."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.policy.saga.saga_airflow import Event
from tests.policy.saga.saga_claims import BrokenError
from tests.policy.saga.saga_scenario import Scenario
from tests.policy.saga.saga_state import State
from tests.policy.saga.saga_world import World


@dataclass
class Explored:
    """What was gone through."""

    states: int = 0
    histories: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """How many different worlds ended in each state of the verdict."""


class _Visit:
    """A state on the way, and what is left to try from it."""

    __slots__ = ("events", "histories", "label", "mark")

    def __init__(self, label: str, mark: int, events: Iterator[Event]) -> None:
        self.label, self.mark, self.events = label, mark, events
        self.histories = 0


def explore(scenario: Scenario) -> Explored:
    """Go through all histories; states that were met before are not gone on from again.

    States are known again by their hash alone: two of a million meet by chance once in thirty million explorations.

    Raises:
        BrokenError: One of them must not be; the message tells it.
    """
    world = World(scenario)
    first = world.airflow.first()
    done: dict[int, int] = {}
    explored = Explored()
    way = [_Visit("", hash(first), world.events(first))]
    while way:
        visit = way[-1]
        try:
            label, state = next(visit.events)
        except StopIteration:
            way.pop()
            done[visit.mark] = visit.histories
            if way:
                way[-1].histories += visit.histories
            continue
        except BrokenError as broken:
            raise _told(scenario, broken, [each.label for each in way]) from None
        mark = hash(state)
        if mark in done:
            visit.histories += done[mark]
            continue
        way.append(_Visit(label, mark, _going_on(world, state, explored, way)))
        explored.states += 1
    explored.histories = done[hash(first)]
    return explored


def _going_on(world: World, state: State, explored: Explored, way: list[_Visit]) -> Iterator[Event]:
    if world.may_end(state):
        explored.ends[world.claims.at_end(state)] += 1
        way[-1].histories = 1  # this generator runs for the last of the way
    yield from world.events(state)


_LAST = ("ghost", "late", "mark", "clear")
"""How labels begin that come only where nothing else can, unless they are wanted."""


def follow(scenario: Scenario, wanted: Iterable[str]) -> str:
    """Go through one history; gives the verdict.

    Args:
        scenario: Its world.
        wanted: How the labels of events begin that are to come, one after the other. Until one is possible, the first
            event of those that are comes next: ghosts and late requests last, what a person does not at all.

    Raises:
        BrokenError: It must not be.
    """
    world, left = World(scenario), list(wanted)
    state, labels = world.airflow.first(), [""]
    try:
        while events := dict(world.events(state)):
            label = next((each for each in events if left and each.startswith(left[0])), None)
            if label is None:
                label = next((each for each in events if not each.startswith(_LAST)), next(iter(events)))
            else:
                del left[0]
            state = events[label]
            labels.append(label)
        assert not left, f"{left[0]!r} was not possible:\n{_history(labels)}"
        return world.claims.at_end(state)
    except BrokenError as broken:
        raise _told(scenario, broken, labels) from None


def walk(world: World, choices: Iterable[tuple[int, int]]) -> str:
    """Go through the history that some numbers choose; gives the verdict.

    Args:
        world: The scenario's.
        choices: Each lets so many events pass, always the first of the possible ones, and then picks another.

    Raises:
        BrokenError: It must not be.
    """
    state, labels = world.airflow.first(), [""]
    picks = itertools.chain.from_iterable([*itertools.repeat(0, pause), pick] for pause, pick in choices)
    try:
        while True:
            if world.may_end(state):
                ended = world.claims.at_end(state)
            pick = next(picks, 0)
            events = list(itertools.islice(world.events(state), None if pick else 1))
            if not events:
                return ended
            label, state = events[pick % len(events)]
            labels.append(label)
    except BrokenError as broken:
        raise _told(world.scenario, broken, labels) from None


def _told(scenario: Scenario, broken: BrokenError, labels: list[str]) -> BrokenError:
    return BrokenError(f"{scenario.name}: {broken}\n{_history(labels)}")


def _history(labels: list[str]) -> str:
    return "\n".join(f"  {label}" for label in labels[1:] if " reads " not in label and not label.endswith(": now"))
