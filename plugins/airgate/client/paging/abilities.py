"""What a paginator may be able to do beyond the three methods that it must have.

Whoever writes one of their own needs none of these; a method that is there is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar, runtime_checkable

from airgate.client.pages import Page, PageRequest, Paginator, Position
from airgate.policy.errors import GatewayError


@runtime_checkable
class Asks(Protocol):
    """Asks for a page by more than query parameters."""

    def request(self, position: Position) -> PageRequest:
        """What asks for the page there."""
        ...


@runtime_checkable
class Totals(Protocol):
    """Knows how many records there are."""

    def total(self, page: Page) -> int | None:
        """Records in the whole collection, as the page tells; None when it does not."""
        ...


@runtime_checkable
class Foresees(Protocol):
    """Knows where later pages stand before the ones between are there."""

    def extent(self, page: Page) -> int | None:
        """How far the collection reaches, as the page tells: a number to compare with that of other pages."""
        ...

    def ahead(self, position: Position, page: Page) -> Iterator[Position]:
        """Where the pages behind ``page`` stand if each of them is as long; nothing when no end is told.

        A guess: what is fetched by it is used only where ``after`` of the page before gives the same position.
        """
        ...


@runtime_checkable
class Sifts(Protocol):
    """Asks for records that came already, and takes them out."""

    def fresh(self, position: Position, page: Page) -> Page:
        """The page without what the pages before had."""
        ...


@runtime_checkable
class TakesNull(Protocol):
    """Can tell a ``null`` that stands for an empty list from one that stands for a failure."""

    def null_is_empty(self, position: Position, page: Page) -> bool:
        """Whether the page, which has ``null`` in place of records, says by itself that there are none."""
        ...


@runtime_checkable
class EndsByRefusal(Protocol):
    """May ask for a page that is not there."""

    def is_end(self, position: Position, error: GatewayError) -> bool:
        """Whether this refusal of the page there means that the page before was the last."""
        ...


Ability = TypeVar("Ability")


def able(paginator: Paginator, ability: type[Ability]) -> Ability | None:
    """The paginator as one that has the ability, None when it has not.

    A setting of a paginator that happens to have the name of a method, such as ``total``, does not make it able.
    """
    names = [name for name in vars(ability) if not name.startswith("_")]
    if isinstance(paginator, ability) and all(callable(getattr(paginator, name)) for name in names):
        return paginator
    return None
