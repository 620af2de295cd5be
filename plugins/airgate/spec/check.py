"""Strict mode: everything about a gateway's file for which the edge refuses to start, found at once."""

from collections.abc import Iterator, Mapping

from airgate.spec.check_authorizer import authorizer_problems
from airgate.spec.check_origins import origin_problems
from airgate.spec.check_policies import file_policy_problems, unserved_problems
from airgate.spec.check_routes import route_problems
from airgate.spec.check_secrets import secret_problems
from airgate.spec.check_services import granted_problems, service_list_problems, unserved_services
from airgate.spec.check_sign_in import sign_in_problems
from airgate.spec.cors import LIST_KEYS
from airgate.spec.environment import references, substitute
from airgate.spec.extension import KEY
from airgate.spec.javascript import parse
from airgate.spec.problem import Problem, at, not_an_object, unknown_keys
from airgate.spec.url import HTTP_SCHEMES, parse_origin

_FILE_KEYS = (
    *("$schema", "title", "description", "servers", "services", "serviceBindings", "servicesBindings"),
    *("cors", "authorizer", "variables", "paths", KEY),
)
_CORS_KEYS = (*LIST_KEYS, "allow_credentials", "max_age")


def problems(text: str, environment: Mapping[str, str], *, policies: bool = False) -> list[Problem]:
    """All problems of a file, at most one for each place; an empty list means that strict mode serves it.

    `text` is the file, `environment` holds the variables. `policies` says that whoever asks carries out what stands
    under `x-airgate`, and has stand-ins for services looked for; else a file with policies is refused, as they would
    silently not hold, and one with services or hooks. Nothing is raised.
    """
    try:
        file = parse(text)
    except ValueError as error:
        what = "it begins with a byte order mark" if text.startswith("\ufeff") else f"it is not JSON: {error}"
        return [at((), what, "Save it as plain UTF-8 JSON")]
    if not isinstance(file, dict):
        return [at((), "it is not an object", "Write an object with servers, authorizer and paths")]
    first: dict[str, Problem] = {}
    for found in (*_all(file, environment), *(() if policies else unserved_problems(file))):
        first.setdefault(found.pointer, found)
    return list(first.values()) or ([] if policies else list(unserved_services(file)))


def _all(file: dict[str, object], environment: Mapping[str, str]) -> Iterator[Problem]:
    yield from _variable_problems(file, environment)
    yield from granted_problems(file, environment)
    yield from secret_problems(file)
    served = substitute(file, environment)
    if not isinstance(served, dict):  # cannot happen: an object stays an object
        return
    yield from unknown_keys((), served, _FILE_KEYS)
    yield from _server_problems(served.get("servers", []))
    if "authorizer" in served:
        yield from authorizer_problems(served["authorizer"])
    if "cors" in served:
        yield from _cors_problems(served["cors"])
        yield from origin_problems(served["cors"])
    yield from not_an_object(("variables",), served.get("variables", {}))
    yield from service_list_problems(served)
    yield from file_policy_problems(served)
    yield from route_problems(served)
    yield from sign_in_problems(served, environment)


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
