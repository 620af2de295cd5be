"""A request's JSON body, checked; a wrong one is refused with the path of the field that is."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from include.services.parameters import Refused

_PLACE: Final = re.compile(r"`\$\.?([^`]*)`\Z")
_FIELD: Final = re.compile(r"(?:unknown|required) field `(\w+)`")

Asked = TypeVar("Asked", bound=msgspec.Struct)


def read(body: bytes, kind: type[Asked], *, name: str = "body") -> Asked:
    """What a body asks for.

    Args:
        body: As it was sent.
        kind: What it must be.
        name: What it is called when it is refused.

    Raises:
        Refused: 422, a field is missing, unknown or wrong; 400, it is no JSON.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(422, f"the {name} is refused: {error}", _field(str(error))) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, f"the body must be a JSON object: {error}") from None


def _field(message: str) -> str | None:
    """The path of the field that msgspec complains of, such as ``items[0].sku``; None for the body as a whole."""
    place, field = _PLACE.search(message), _FIELD.search(message)
    parts = [found[1] for found in (place, field) if found and found[1]]
    return ".".join(parts) or None
