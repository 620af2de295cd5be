"""Splits the answers of one read into records and what stands beside them, without decoding either.

A first answer is scanned twice, for the members of the object and for the records in its list. Meanwhile it is noted
what is looked for beside the records; of the answers behind it only that is kept, in a single scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from airgate.client.message import Response
from airgate.client.pages import Page
from airgate.client.paging.links import LinkScope
from airgate.client.salvage import split_list, split_object
from airgate.policy.json_faults import NOT_JSON

MOST_NAMES = 32
"""Where more names than this are looked for beside the records, each answer is scanned twice."""

_Members = Callable[[bytes | msgspec.Raw], dict[str, msgspec.Raw]]
_Items = Callable[[bytes | msgspec.Raw], list[msgspec.Raw]]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_NO_LINKS = LinkScope()


class Splitter:
    """Splits one answer after the other.

    Args:
        records: Dotted path to the list of records, such as ``data`` or ``result.items``; empty for a bare list.
        links: Where the pages' links may lead.
        whole: What stands there is one record, an object, and no list.
        null: ``null`` may stand there; the page says so by ``null``.
    """

    def __init__(self, records: str, *, links: LinkScope = _NO_LINKS, whole: bool = False, null: bool = False) -> None:
        self._records, self._links, self._whole, self._null = records, links, whole, null
        self._names = tuple(name for name in records.split(".") if name)
        self._asked: set[str] = set()
        """What has been looked for beside the records of any page."""
        self._scan: _Scan | None = None
        self._learns = bool(self._names) and not whole  # else one scan is all there is
        self._begun = False

    def split(self, response: Response) -> Page:
        """Split an answer, whose body is JSON, into records and envelope.

        Raises:
            InvalidResponse: When the body is not JSON or has no such thing there.
        """
        if self._begun and self._learns and (page := self._split_once(response)) is not None:
            return page
        self._begun = True
        what = "object" if self._whole else "list of records"
        try:
            return self._split(response, _OBJECT.decode, _one if self._whole else _LIST.decode)
        except NOT_JSON as error:
            refusal = error
        try:
            return self._split(response, split_object, _salvaged_one if self._whole else split_list)
        except (ValueError, RecursionError):
            raise response.invalid(f"the body has no {what} at {self._records!r} ({refusal})") from None

    def _split_once(self, response: Response) -> Page | None:
        """The page; None when it is none that a single scan takes."""
        if len(self._asked) > MOST_NAMES:
            return None
        if self._scan is None or self._scan.kept != self._asked:
            self._scan = _Scan(self._names, frozenset(self._asked))
        if (found := self._scan(response.bytes)) is None:
            return None
        records, beside = found
        envelope = _Envelope(beside, self._asked, self._scan.kept, lambda: self._beside(response))
        return Page(records, envelope, response, self._names[:-1], self._links)

    def _split(self, response: Response, members: _Members, items: _Items) -> Page:
        beside, raw = self._apart(response, members)
        envelope = _Envelope(beside, self._asked)
        if self._null and _is_null(raw):
            return Page((), envelope, response, self._names[:-1], self._links, null=True)
        return Page(items(raw), envelope, response, self._names[:-1], self._links)

    def _apart(self, response: Response, members: _Members) -> tuple[dict[str, msgspec.Raw], bytes | msgspec.Raw]:
        """What stands beside the records, and the text of their list."""
        raw: bytes | msgspec.Raw = response.bytes
        beside: dict[str, msgspec.Raw] = {}
        for name in self._names:
            inner = members(raw)
            if name not in inner:
                there = ", ".join(sorted(inner)) or "nothing"
                raise response.invalid(f"the body has no {self._records!r}; it has {there}")
            raw = inner.pop(name)
            beside.update(inner)
        return beside, raw

    def _beside(self, response: Response) -> dict[str, msgspec.Raw]:
        return self._apart(response, _OBJECT.decode)[0]


def split_page(
    response: Response, records: str, *, links: LinkScope = _NO_LINKS, whole: bool = False, null: bool = False
) -> Page:
    """Split an answer that comes alone; see ``Splitter``.

    Raises:
        InvalidResponse: When the body is not JSON or has no such thing there.
    """
    return Splitter(records, links=links, whole=whole, null=null).split(response)


class _Scan:
    """A decoder that keeps the records and some of what stands beside them, and passes over the rest.

    Args:
        names: Path to the records.
        kept: Names to keep, at every level of the path.
    """

    def __init__(self, names: tuple[str, ...], kept: frozenset[str]) -> None:
        self.kept = kept
        self._beside = [{f"m{number}": other for number, other in enumerate(sorted(kept - {name}))} for name in names]
        shape: Any = list[msgspec.Raw]
        for name, others in zip(reversed(names), reversed(self._beside), strict=True):
            shape = msgspec.defstruct(
                "Level",
                [("inner", shape), *((member, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for member in others)],
                rename={"inner": name, **others},
            )
        self._decoder = msgspec.json.Decoder(shape)

    def __call__(self, body: bytes) -> tuple[list[msgspec.Raw], dict[str, msgspec.Raw]] | None:
        """The records, and what is kept beside them; None when the body is not of that shape."""
        beside: dict[str, msgspec.Raw] = {}
        try:
            level: Any = self._decoder.decode(body)
        except NOT_JSON:
            return None
        for others in self._beside:
            for member, name in others.items():
                if (raw := getattr(level, member)) is not msgspec.UNSET:
                    beside[name] = raw
            level = level.inner
        return level, beside


class _Envelope(Mapping[str, msgspec.Raw]):
    """What stands beside the records of a page; notes what is looked for.

    Args:
        found: What is known of it.
        asked: Takes the names.
        kept: Names of which ``found`` tells; None for all.
        rest: Finds the others.
    """

    __slots__ = ("_asked", "_found", "_kept", "_rest")

    def __init__(
        self,
        found: dict[str, msgspec.Raw],
        asked: set[str],
        kept: frozenset[str] | None = None,
        rest: Callable[[], dict[str, msgspec.Raw]] = dict,
    ) -> None:
        self._found, self._asked, self._kept, self._rest = found, asked, kept, rest

    def __getitem__(self, name: str) -> msgspec.Raw:
        self._asked.add(name)
        if self._kept is not None and name not in self._kept:
            self._complete()
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        self._complete()
        return iter(self._found)

    def __len__(self) -> int:
        self._complete()
        return len(self._found)

    def _complete(self) -> None:
        if self._kept is not None:
            self._found, self._kept = self._rest(), None


def _one(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    _OBJECT.decode(raw)
    return [msgspec.Raw(bytes(raw))]


def _salvaged_one(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    split_object(raw)
    return [msgspec.Raw(bytes(raw))]


def _is_null(raw: bytes | msgspec.Raw) -> bool:
    with memoryview(raw) as view:
        return len(view) < 16 and bytes(view).strip() == b"null"
