"""From what a stand-in returned to what is sent: the gateway's table of results. Pure."""

from collections.abc import Mapping

from airgate.edge.services import BODILESS, Response
from airgate.spec.answer import EMPTY_STATIC, INTERNAL_ERROR, JSON_TYPE, Answer, json_answer, problem
from airgate.spec.config import Mode
from airgate.spec.gateway import HOP_BY_HOP
from airgate.spec.javascript import truthy

_DONE = "Operation completed successfully."
_FAILED = "An error occurred."
_NO_RESPONSE = Answer(400)
_NOT_LET_THROUGH = Answer(200)
_SET_BY_EDGE = HOP_BY_HOP | {b"content-length"}


class BadResult(ValueError):
    """A stand-in returned what no response can be made of."""


def answered(result: object) -> Answer:
    """The answer of a route whose stand-in returned this.

    Raises:
        BadResult: it is no JSON, or its `statusCode` is no status of a response with a body.
    """
    match result:
        case Response():
            return as_it_is(result)
        case None:
            return EMPTY_STATIC
        case str():
            return Answer(200, (JSON_TYPE,), result.encode("utf-8", "replace"))
        case bool() | int() | float():
            return _NO_RESPONSE
        case list() | tuple():
            return _envelope({str(position): _plain(item) for position, item in enumerate(result)})
        case Mapping():
            return _envelope(_plain_object(result))
    raise BadResult(f"it returned {_article(result)}: return a Response, or plain JSON")


def stopped_by(result: object, mode: Mode) -> Answer | None:
    """The answer when a hook before a route returned this; None lets the request go on.

    Only `True` does. Strict mode refuses whatever else is no Response; recorded were an empty 200, and 500 for None.
    """
    if result is True:
        return None
    if isinstance(result, Response):
        return as_it_is(result)
    if mode == "strict":
        return problem(403, "The hook of this route did not let the request through.", with_cors=True)
    return INTERNAL_ERROR if result is None else _NOT_LET_THROUGH


def as_it_is(response: Response) -> Answer:
    """A response as an answer; what belongs to the connection is left to the edge."""
    headers = ((name.encode(), value.encode("utf-8", "replace")) for name, value in response.headers)
    return Answer(response.status, tuple(each for each in headers if each[0] not in _SET_BY_EDGE), response.body)


def _envelope(value: dict[str, object]) -> Answer:
    rest = dict(value)
    status, error, message = (rest.pop(name, None) for name in ("statusCode", "error", "message"))
    failed = truthy(error)
    body: dict[str, object] = {
        "status": "error" if failed else "success",
        "message": message if truthy(message) else _FAILED if failed else _DONE,
    }
    body |= {"error": error} if failed else {"data": rest}
    return json_answer(_status(status, 500 if failed else 200), body)


def _status(given: object, default: int) -> int:
    if not truthy(given):
        return default
    status = int(given) if isinstance(given, float) and given.is_integer() else given
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599 or status in BODILESS:
        raise BadResult("its statusCode is no status of a response with a body: return one from 200 to 599")
    return status


def _plain(value: object) -> object:
    """A value as JSON has it: lists, objects with names, text, numbers, booleans, null.

    Raises:
        BadResult: something in it is none of these.
    """
    match value:
        case None | str() | bool() | int() | float():
            return value
        case list() | tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return _plain_object(value)
    raise BadResult(f"it returned {_article(value)} within its result, which is no JSON")


def _plain_object(value: Mapping[object, object]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise BadResult(f"it returned {_article(name)} as a name within its result, where JSON has texts")
        plain[name] = _plain(item)
    return plain


def _article(value: object) -> str:
    return f"a value of the type {type(value).__name__}"
