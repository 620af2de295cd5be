"""Strict mode: everything about a gateway's file for which the edge refuses to start, found at once."""

from collections.abc import Iterator, Mapping

from airgate.spec.check_routes import route_problems
from airgate.spec.cors import LIST_KEYS
from airgate.spec.environment import references, substitute
from airgate.spec.javascript import parse
from airgate.spec.problem import Problem, at, not_an_object, unknown_keys
from airgate.spec.url import HTTP_SCHEMES, parse_origin

_FILE_KEYS = (
    *("$schema", "title", "description", "servers", "services", "serviceBindings", "servicesBindings"),
    *("cors", "authorizer", "variables", "paths"),
)
_JWT_KEYS = ("type", "secret", "algorithm", "issuer", "audience")
_CORS_KEYS = (*LIST_KEYS, "allow_credentials", "max_age")
_SHORTEST_SECRET = 32
_LATER_AUTHORIZERS = ("auth0", "supabase")


def problems(text: str, environment: Mapping[str, str]) -> list[Problem]:
    """All problems of a file, at most one for each place; an empty list means that strict mode serves it.

    `text` is the file, `environment` holds the variables. Nothing is raised.
    """
    try:
        file = parse(text)
    except ValueError as error:
        what = "it begins with a byte order mark" if text.startswith("\ufeff") else f"it is not JSON: {error}"
        return [at((), what, "Save it as plain UTF-8 JSON")]
    if not isinstance(file, dict):
        return [at((), "it is not an object", "Write an object with servers, authorizer and paths")]
    first: dict[str, Problem] = {}
    for found in _all(file, environment):
        first.setdefault(found.pointer, found)
    return list(first.values())


def _all(file: dict[str, object], environment: Mapping[str, str]) -> Iterator[Problem]:
    yield from _variable_problems(file, environment)
    served = substitute(file, environment)
    if not isinstance(served, dict):  # cannot happen: an object stays an object
        return
    yield from unknown_keys((), served, _FILE_KEYS)
    yield from _server_problems(served.get("servers", []))
    if "authorizer" in served:
        yield from _authorizer_problems(served["authorizer"])
    if "cors" in served:
        yield from _cors_problems(served["cors"])
    yield from not_an_object(("variables",), served.get("variables", {}))
    yield from route_problems(served)


def _variable_problems(file: dict[str, object], environment: Mapping[str, str]) -> Iterator[Problem]:
    for path, name in references(file):
        if name not in environment:
            yield at(path, f"the variable {name!r} is not set", f"Set {name} in the environment of the edge")


def _server_problems(servers: object) -> Iterator[Problem]:
    if not isinstance(servers, list):
        yield at(("servers",), "it is not a list", "Write a list of objects with alias and url")
        return
    aliases: set[str] = set()
    for position, server in enumerate(servers):
        path = ("servers", position)
        if not isinstance(server, dict):
            yield from not_an_object(path, server)
            continue
        yield from unknown_keys(path, server, ("alias", "url"))
        alias = server.get("alias")
        if not isinstance(alias, str) or not alias:
            yield at((*path, "alias"), "the server has no alias", "Give it a name that routes can use")
        elif alias in aliases:
            yield at((*path, "alias"), f"the alias {alias!r} is used before", "Only the first would serve; rename one")
        else:
            aliases.add(alias)
        yield from _url_problems((*path, "url"), server.get("url"))


def _url_problems(path: tuple[str | int, ...], url: object) -> Iterator[Problem]:
    cure = "Write an absolute URL such as http://127.0.0.1:8000/base"
    if not isinstance(url, str) or not url:
        yield at(path, "the server has no url", cure)
        return
    try:
        scheme = parse_origin(url).scheme
    except ValueError as error:
        yield at(path, f"the url is bad: {error}", cure)
    else:
        if scheme not in HTTP_SCHEMES:
            yield at(path, f"the edge cannot call {scheme}: URLs", cure)


def _authorizer_problems(authorizer: object) -> Iterator[Problem]:
    here = ("authorizer",)
    if not isinstance(authorizer, dict):
        yield from not_an_object(here, authorizer)
        return
    kind = authorizer.get("type")
    if kind in _LATER_AUTHORIZERS:
        yield at((*here, "type"), f"the authorizer type {kind!r} is not supported yet", "Use the type 'jwt'")
    elif kind != "jwt":
        yield at((*here, "type"), "the authorizer type is unknown, guarded routes would be open", "Use the type 'jwt'")
    else:
        yield from unknown_keys(here, authorizer, _JWT_KEYS)
        yield from _jwt_problems(authorizer)


def _jwt_problems(authorizer: dict[str, object]) -> Iterator[Problem]:
    secret = authorizer.get("secret")
    if not isinstance(secret, str) or len(secret.encode("utf-8", "replace")) < _SHORTEST_SECRET:
        what = f"the secret is missing or shorter than {_SHORTEST_SECRET} bytes"
        yield at(("authorizer", "secret"), what, "Use a random secret, for instance from: openssl rand -hex 32")
    if authorizer.get("algorithm", "HS256") != "HS256":
        yield at(("authorizer", "algorithm"), "only HS256 is supported", "Write 'HS256', or leave the key out")
    for key in ("issuer", "audience"):
        if key in authorizer and not (isinstance(authorizer[key], str) and authorizer[key]):
            what = f"the {key} is not a text or is empty, so that any value would pass"
            yield at(("authorizer", key), what, "Name the accepted value, or leave the key out to skip the check")


def _cors_problems(cors: object) -> Iterator[Problem]:
    if isinstance(cors, bool):
        return
    if not isinstance(cors, dict):
        yield at(("cors",), "it is neither an object nor false", "Write an object, or leave the key out")
        return
    yield from unknown_keys(("cors",), cors, _CORS_KEYS)
    for key in LIST_KEYS:
        value = cors.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            yield at(("cors", key), "it is not a list of texts", 'Write a list such as ["GET", "POST"]')
    if not isinstance(cors.get("allow_credentials", False), bool):
        yield at(("cors", "allow_credentials"), "it is neither true nor false", "Write true or false")
    origins = cors.get("allow_origins")
    if cors.get("allow_credentials") is True and isinstance(origins, list) and "*" in origins:
        what = "'*' with allow_credentials lets every site act with its visitor's credentials"
        yield at(("cors", "allow_origins"), what, "List the origins, or set allow_credentials to false")
    age = cors.get("max_age", 0)
    if isinstance(age, bool) or not isinstance(age, int | float) or age < 0:
        yield at(("cors", "max_age"), "it is not a number of seconds", "Write a number, zero or more")
