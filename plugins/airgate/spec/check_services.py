"""Strict mode's look at services, service bindings and hooks: none is skipped because its name is misspelt."""

import re
from collections.abc import Iterator, Mapping

from airgate.spec.extension import KEY
from airgate.spec.problem import Path, Problem, at, not_an_object, unknown_keys
from airgate.spec.services import CALLBACK, SERVICE, SERVICE_BINDING, SERVICE_TYPES, bindings

_FUNCTION = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MODULE = re.compile(r"(\./)?[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_BINDING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def service_list_problems(file: Mapping[str, object]) -> Iterator[Problem]:
    """The problems of `services`, `serviceBindings` and its old spelling."""
    cure = "Write a path such as services/orders, without .js"
    yield from _listed(file, ("services",), "entrypoint", _MODULE, "it is no path of a module", cure)
    cure = "Write letters, digits and underscores"
    both = ("serviceBindings", "servicesBindings")
    yield from _listed(file, both, "binding", _BINDING, "it is no name of a binding", cure)


def granted_problems(file: Mapping[str, object], environment: Mapping[str, str]) -> Iterator[Problem]:
    """Variables that services are to be given and that are not set; `file` is the one before variables are put in."""
    policies = file.get(KEY)
    services = policies.get("services") if isinstance(policies, dict) else None
    names = services.get("env") if isinstance(services, dict) else None
    for position, name in enumerate(names if isinstance(names, list) else ()):
        here: Path = (KEY, "services", "env", position)
        if not isinstance(name, str) or not _BINDING.fullmatch(name):
            yield at(here, "it is no name of a variable", "Write the name alone, such as TENANT")
        elif name not in environment:
            yield at(here, f"the variable {name!r} is not set", f"Set {name} in the environment of the edge")


def integration_problems(
    here: Path, integration: Mapping[str, object], route: Mapping[str, object], file: Mapping[str, object]
) -> Iterator[Problem]:
    """The problems of an integration of the type `service` or `service_binding`."""
    if integration.get("type") == SERVICE:
        yield from unknown_keys(here, integration, ("type", "binding"))
        yield from _alias_problems((*here, "binding"), integration.get("binding"), file.get("services"), "services")
    else:
        yield from unknown_keys(here, integration, ("type", "binding", "function"))
        yield from _function_problems(here, integration, file)
    if route.get("mapping"):
        what = "services get the request as it came: a caller can send what the mapping would set"
        yield at((*here[:-1], "mapping"), what, "Remove it; the service gets the claims of the token in its context")


def hook_problems(
    here: Path, hook: object, route: Mapping[str, object], file: Mapping[str, object]
) -> Iterator[Problem]:
    """The problems of a `pre_process`."""
    if "integration" not in route:
        what = "the gateway runs no hook on a route without an integration, so it would not guard this one"
        yield at(here, what, "Remove it, or serve the route by an integration")
        return
    if not isinstance(hook, dict):
        yield from not_an_object(here, hook)
        return
    yield from unknown_keys(here, hook, ("binding", "function"))
    yield from _function_problems(here, hook, file)


def post_process_problems(
    here: Path, integration: Mapping[str, object], file: Mapping[str, object]
) -> Iterator[Problem]:
    """The problems of a `post_process`, at its place."""
    if "post_process" not in integration:
        return
    hook = integration["post_process"]
    if integration.get("type") != CALLBACK:
        yield at(here, f"the gateway runs it only on {CALLBACK}, so here it has no effect", "Remove it")
    elif not isinstance(hook, dict):
        yield from not_an_object(here, hook)
    elif hook.get("type") != SERVICE_BINDING:
        yield at((*here, "type"), "the type of the hook is missing or unknown", f"Write {SERVICE_BINDING!r}")
    else:
        yield from unknown_keys(here, hook, ("type", "binding", "function"))
        yield from _function_problems(here, hook, file)


def unserved_services(file: Mapping[str, object]) -> Iterator[Problem]:
    """Every place of a file that needs a stand-in, for an edge that has none."""
    what, cure = "this edge has no stand-ins for services", "Remove it, or serve the file with them"
    routes = file.get("paths")
    for position, route in enumerate(routes if isinstance(routes, list) else ()):
        integration = route.get("integration") if isinstance(route, dict) else None
        if not isinstance(integration, dict):
            continue
        here: Path = ("paths", position)
        if integration.get("type") in SERVICE_TYPES:
            yield at((*here, "integration", "type"), what, cure)
        if "pre_process" in route:
            yield at((*here, "pre_process"), what, cure)
        if "post_process" in integration:
            yield at((*here, "integration", "post_process"), what, cure)


def _listed(
    file: Mapping[str, object], keys: tuple[str, ...], names: str, form: re.Pattern[str], what: str, cure: str
) -> Iterator[Problem]:
    """The problems of lists of objects with an alias and what it stands for; an alias counts once in all of them."""
    aliases: set[str] = set()
    for key in keys:
        entries = file.get(key, [])
        if not isinstance(entries, list):
            yield at((key,), "it is not a list", f"Write a list of objects with alias and {names}")
            continue
        for position, entry in enumerate(entries):
            here: Path = (key, position)
            if not isinstance(entry, dict):
                yield from not_an_object(here, entry)
                continue
            yield from unknown_keys(here, entry, ("alias", names))
            alias, named = entry.get("alias"), entry.get(names)
            if not isinstance(alias, str) or not alias:
                yield at((*here, "alias"), "it has no alias", "Give it a name that routes can use")
            elif alias in aliases:
                yield at((*here, "alias"), f"the alias {alias!r} is used before", "Only the first counts; rename one")
            else:
                aliases.add(alias)
            if not isinstance(named, str) or not form.fullmatch(named):
                yield at((*here, names), what, cure)


def _function_problems(here: Path, named: Mapping[str, object], file: Mapping[str, object]) -> Iterator[Problem]:
    yield from _alias_problems((*here, "binding"), named.get("binding"), bindings(file), "serviceBindings")
    function = named.get("function")
    if not isinstance(function, str) or not _FUNCTION.fullmatch(function):
        yield at((*here, "function"), "it is no name of a function", "Write letters, digits and underscores")


def _alias_problems(here: Path, alias: object, entries: object, key: str) -> Iterator[Problem]:
    listed = [entry.get("alias") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if not isinstance(alias, str) or alias not in listed:
        known = ", ".join(repr(each) for each in listed) or "none yet"
        yield at(here, f"{key} has no alias {alias!r}", f"Add it there; there are: {known}")
