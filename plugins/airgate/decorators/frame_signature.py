"""How a function wants its frames, by the annotations of its parameters."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    import pandas as pd

    from airgate.data.frames.library import Library

Frames: TypeAlias = "Iterator[pd.DataFrame]"
"""A parameter of this type gets the frame in pieces, for data larger than memory: ``for frame in frames``."""


@dataclass(frozen=True, init=False)
class Columns:
    """The columns that a parameter needs, ``Annotated[pd.DataFrame, Columns("id", "at")]``: no others are read."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        if not names:
            raise ValueError("Columns needs the names of columns: Columns('id', 'at')")
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a parameter wants its frame."""

    library: Library = "pandas"
    pieces: bool = False
    """Whether as an iterator of frames."""
    columns: tuple[str, ...] | None = None
    """None for all."""
    unknown: str = ""
    """What is wrong with an annotation that cannot be read."""


_CUSTOMARY = {
    "pandas": "pandas",
    "pd": "pandas",
    "DataFrame": "pandas:DataFrame",
    "polars": "polars",
    "pl": "polars",
    "pyarrow": "pyarrow",
    "pa": "pyarrow",
    "Table": "pyarrow:Table",
    "Iterator": "collections.abc:Iterator",
    "Iterable": "collections.abc:Iterable",
    "Annotated": "typing:Annotated",
    "Any": "typing:Any",
    "Columns": f"{__name__}:Columns",
    "Frames": f"{__name__}:Frames",
}
"""What names mean that a module imports for type checkers only, as it may: a DAG file is parsed often."""

_ITERATORS = (collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator)


def wanted(function: Callable[..., Any]) -> dict[str, Wanted]:
    """How each parameter of a function wants a frame, should it get one.

    Imports what the annotations name, so not to be called while a DAG is parsed.

    Raises:
        ValueError: When an annotation names a library that is not installed.
    """
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.annotation is inspect.Parameter.empty:
            found[name] = Wanted()
        else:
            found[name] = _wanted(_resolved(parameter.annotation, name, getattr(function, "__globals__", {})))
    return found


def parameter_of(function: Callable[..., Any], place: int | str) -> str:
    """The parameter that takes an argument: the one at a place, or of a name; the catch-all for those beyond."""
    parameters = inspect.signature(function).parameters
    if isinstance(place, str) and place in parameters:
        return place
    catch_all = inspect.Parameter.VAR_KEYWORD if isinstance(place, str) else inspect.Parameter.VAR_POSITIONAL
    if isinstance(place, int):
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        positional = [name for name, parameter in parameters.items() if parameter.kind in plain]
        if place < len(positional):
            return positional[place]
    return next((name for name, parameter in parameters.items() if parameter.kind is catch_all), str(place))


def _resolved(annotation: object, parameter: str, names: Mapping[str, Any]) -> Any:
    """The annotation, evaluated where it is text."""
    known = dict(names)

    def holder() -> None: ...

    holder.__annotations__ = {parameter: annotation}
    while True:
        try:
            return typing.get_type_hints(holder, known, include_extras=True)[parameter]
        except NameError as error:
            missing = error.name
            if missing is None or missing in known or missing not in _CUSTOMARY:
                return _Unknown(f"the annotation {annotation!r} names {missing}, which its module does not import")
            known[missing] = _import(_CUSTOMARY[missing])
        except TypeError:
            return annotation


@dataclass(frozen=True, slots=True)
class _Unknown:
    """An annotation that cannot be read; it matters only to a parameter that gets a frame."""

    problem: str


def _import(where: str) -> object:
    module, _, name = where.partition(":")
    if module == "polars":
        from airgate.data.frames.library import require_polars

        require_polars()
    imported = import_module(module)
    return getattr(imported, name) if name else imported


def _wanted(annotation: Any) -> Wanted:
    if isinstance(annotation, _Unknown):
        return Wanted(unknown=annotation.problem)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        inner = _wanted(arguments[0])
        columns = next((extra.names for extra in arguments[1:] if isinstance(extra, Columns)), inner.columns)
        return Wanted(inner.library, inner.pieces, columns)
    if origin in _ITERATORS and arguments:
        inner = _wanted(arguments[0])
        return Wanted(inner.library, True, inner.columns)
    if origin in (typing.Union, UnionType):
        return next((_wanted(each) for each in arguments if each is not type(None)), Wanted())
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping) and len(arguments) == 2:
        return _wanted(arguments[1])
    if annotation in _ITERATORS:
        return Wanted(pieces=True)
    return Wanted(_library(annotation))


def _library(annotation: object) -> Library:
    root = getattr(annotation, "__module__", "").partition(".")[0]
    return cast("Library", {"polars": "polars", "pyarrow": "arrow"}.get(root, "pandas"))
