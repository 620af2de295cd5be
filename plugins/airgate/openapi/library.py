"""The files of a document: itself, and those next to it that its references name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from airgate.openapi.errors import DocumentError
from airgate.openapi.reading import parse

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_ROOT = "file:///"


class Node(NamedTuple):
    """A value and where it stands."""

    value: Any
    uri: str
    """Of the file, as seen from the document's folder: ``file:///name``."""
    path: tuple[str, ...] = ()
    """Keys and positions from the top of the file."""

    def child(self, *keys: str | int) -> Node:
        """What stands below, which must be there."""
        value = self.value
        for key in keys:
            value = value[key]
        return Node(value, self.uri, (*self.path, *map(str, keys)))

    def get(self, key: str) -> Node | None:
        """What stands below a key, None without it."""
        return self.child(key) if isinstance(self.value, dict) and key in self.value else None

    @property
    def pointer(self) -> str:
        """The JSON pointer (RFC 6901) within the file."""
        return pointer_of(self.path)

    @property
    def reference(self) -> str:
        """What a ``$ref`` to it would be, as a URI."""
        return f"{self.uri}#{quote(self.pointer, safe='/~')}"


def pointer_of(path: tuple[str | int, ...]) -> str:
    """Keys and positions as a JSON pointer."""
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)


class Library:
    """Files by URI, read when a reference first asks for them.

    Args:
        text: The document.
        name: Its file name, which references of its neighbours may use.
        neighbour: Reads a file by its path below the document's folder and raises OSError without it; None for a
            document that has no folder.
    """

    def __init__(self, text: str | bytes, name: str, neighbour: Callable[[str], bytes] | None = None) -> None:
        self.name = name
        self.top = _ROOT + quote(name)
        self._neighbour = neighbour
        self._contents: dict[str, Any] = {self.top: parse(text, name)}

    @property
    def root(self) -> Node:
        """The document."""
        return Node(self._contents[self.top], self.top)

    def file(self, uri: str) -> Any:
        """The content of a file.

        Raises:
            DocumentError: It is not one next to the document.
        """
        if uri not in self._contents:
            path = unquote(urlsplit(uri).path).lstrip("/")
            if self._neighbour is None or not uri.startswith(_ROOT):
                raise DocumentError(
                    f"{self.name}: the reference to {uri.removeprefix(_ROOT)!r} leaves the document. Only files next "
                    "to a document that is a file itself are read; bundle the document into one file"
                )
            try:
                text = self._neighbour(path)
            except (OSError, ValueError) as error:
                raise DocumentError(
                    f"{self.name}: the reference to {path!r} cannot be followed: {type(error).__name__}. It must be a "
                    "file in the document's folder"
                ) from None
            self._contents[uri] = parse(text, path)
        return self._contents[uri]

    def follow(self, node: Node) -> Node:
        """What a node stands for: the end of its chain of ``$ref``, or itself.

        Raises:
            DocumentError: A reference leads nowhere or in a circle.
        """
        seen = [node.reference]
        while isinstance(node.value, dict) and isinstance(reference := node.value.get("$ref"), str):
            target = self._look_up(reference, node)
            if target.reference in seen:
                raise DocumentError(f"{self.at(node)}: the reference {reference!r} leads in a circle")
            seen.append(target.reference)
            node = target
        return node

    def at(self, node: Node) -> str:
        """How errors name a place: a JSON pointer, with the file before it where that is another one."""
        file = "" if node.uri == self.top else f"{unquote(node.uri.removeprefix(_ROOT))}#"
        return f"{file}{node.pointer}" or "(the document)"

    def _look_up(self, reference: str, node: Node) -> Node:
        uri, fragment = urldefrag(urljoin(node.uri, reference))
        try:
            value = self.file(uri)
        except DocumentError as error:
            raise DocumentError(f"{self.at(node)}: {error}") from None
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            raise DocumentError(f"{self.at(node)}: {reference!r} must be a JSON pointer such as #/components/schemas/X")
        keys = [key.replace("~1", "/").replace("~0", "~") for key in fragment.split("/")[1:]]
        for key in keys:
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise DocumentError(f"{self.at(node)}: nothing stands at {reference!r}") from None
        return Node(value, uri, tuple(keys))


@contextmanager
def well_formed(library: Library, node: Node, part: str) -> Iterator[None]:
    """Turn the surprise over a value of another shape than OpenAPI gives it into an error that names the place.

    Raises:
        DocumentError: Something below the node's ``part`` is of another shape.
    """
    try:
        yield
    except (TypeError, KeyError, IndexError, AttributeError):
        raise DocumentError(f"{library.at(node)}/{part}: it is not of the shape that OpenAPI gives it") from None


def open_file(path: Path) -> Library:
    """The library of a document in a file.

    Raises:
        DocumentError: The file cannot be read.
    """
    folder = path.parent.resolve()

    def neighbour(name: str) -> bytes:
        target = (folder / name).resolve()
        target.relative_to(folder)  # raises ValueError for what a link leads out to
        return target.read_bytes()

    try:
        return Library(path.read_bytes(), path.name, neighbour)
    except OSError as error:
        raise DocumentError(f"the OpenAPI document {path} cannot be read: {error.strerror}") from None


def open_resource(location: str) -> Library:
    """The library of a document in an installed package: ``package://package.name/path/in/it``.

    Raises:
        DocumentError: There is no such package or file.
    """
    from importlib.resources import files

    split = urlsplit(location)
    path = split.path.lstrip("/")
    if not split.netloc or not path:
        raise DocumentError(f"{location!r} must be package://package.name/path/in/it")
    try:
        *folders, name = path.split("/")
        folder: Traversable = files(split.netloc).joinpath(*folders)
        text = folder.joinpath(name).read_bytes()
    except (ImportError, TypeError, ValueError):
        raise DocumentError(f"{location!r}: there is no package {split.netloc!r} that can be imported") from None
    except OSError as error:
        raise DocumentError(f"{location!r} cannot be read: {error.strerror}") from None

    def neighbour(name: str) -> bytes:
        parts = name.split("/")
        if ".." in parts:
            raise ValueError(name)
        return folder.joinpath(*parts).read_bytes()

    return Library(text, name, neighbour)
