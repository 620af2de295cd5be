"""Services, service bindings and hooks of a file: which code of the user's own a route asks for. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airgate.spec.javascript import MISSING, equal, to_text, truthy
from airgate.spec.problem import Path

SERVICE, SERVICE_BINDING = "service", "service_binding"
SERVICE_TYPES = (SERVICE, SERVICE_BINDING)
CALLBACK = "auth0_callback"
"""The one integration with a hook at its end."""


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """A module whose class serves a route: its alias among `services`, and its path as the file has it."""

    alias: str
    module: str

    def __str__(self) -> str:
        return f"the service {self.alias!r}"


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a bound service: alias and binding among `serviceBindings`, and the function's name."""

    alias: str
    binding: str
    name: str

    def __str__(self) -> str:
        return f"the function {self.name!r} of the service binding {self.alias!r}"


ServiceCall = Entrypoint | Function


@dataclass(frozen=True, slots=True)
class Need:
    """A call that a route makes, and where the file names the module of it and the function."""

    call: ServiceCall
    module: Path
    function: Path


def service_call(integration: Mapping[str, object], file: Mapping[str, object]) -> ServiceCall | None:
    """What an integration of one of the `SERVICE_TYPES` calls; None when its alias is unknown."""
    found = _service(integration, file, ())
    return None if found is None else found.call


def pre_process(entry: Mapping[str, object], file: Mapping[str, object]) -> Function | None:
    """The hook before a route's integration. None without an integration or with an unknown alias, as recorded."""
    found = _function(entry.get("pre_process"), file, ()) if truthy(entry.get("integration")) else None
    return None if found is None else found[0]


def post_process(integration: Mapping[str, object], file: Mapping[str, object]) -> Function | None:
    """The hook at the end of a sign-in; None where there is none, or its alias is unknown."""
    hook = integration.get("post_process")
    if integration.get("type") != CALLBACK or not isinstance(hook, dict) or hook.get("type") != SERVICE_BINDING:
        return None
    found = _function(hook, file, ())
    return None if found is None else found[0]


def needs(file: Mapping[str, object]) -> Iterator[Need]:
    """Every call that a route of a file makes, in its order; variables are already put in."""
    routes = file.get("paths")
    for position, route in enumerate(routes if isinstance(routes, list) else ()):
        given = route.get("integration") if isinstance(route, dict) else None
        if not isinstance(route, dict) or not truthy(given):
            continue
        here: Path = ("paths", position)
        integration = given if isinstance(given, dict) else {}
        hook = _function(route.get("pre_process"), file, (*here, "pre_process"))
        if hook is not None:
            yield Need(*hook)
        if integration.get("type") in SERVICE_TYPES:
            found = _service(integration, file, (*here, "integration"))
            if found is not None:
                yield found
        if post_process(integration, file) is not None:
            hook = _function(integration["post_process"], file, (*here, "integration", "post_process"))
            if hook is not None:
                yield Need(*hook)


def bindings(file: Mapping[str, object]) -> list[object]:
    """All service bindings; `servicesBindings` is the old spelling, whose new aliases are appended."""
    return [entry for _, entry in _bindings(file)]


def _bindings(file: Mapping[str, object]) -> list[tuple[Path, object]]:
    found: list[tuple[Path, object]] = []
    for key in ("serviceBindings", "servicesBindings"):
        entries = file.get(key)
        for position, entry in enumerate(entries if isinstance(entries, list) else ()):
            alias = entry.get("alias") if isinstance(entry, dict) else None
            if key == "serviceBindings" or (truthy(alias) and _first(found, alias) is None):
                found.append(((key, position), entry))
    return found


def _service(integration: Mapping[str, object], file: Mapping[str, object], here: Path) -> Need | None:
    if integration.get("type") == SERVICE_BINDING:
        found = _function(integration, file, here)
        return None if found is None else Need(*found)
    listed = file.get("services")
    entries: list[tuple[Path, object]] = [
        (("services", position), entry) for position, entry in enumerate(listed if isinstance(listed, list) else ())
    ]
    named = _first(entries, integration.get("binding", MISSING))
    if named is None:
        return None
    place, entry = named
    call = Entrypoint(to_text(entry.get("alias", MISSING)), to_text(entry.get("entrypoint", MISSING)))
    return Need(call, (*place, "entrypoint"), (*place, "entrypoint"))


def _function(named: object, file: Mapping[str, object], here: Path) -> tuple[Function, Path, Path] | None:
    """The function that a part of a route names, where its module is named, and where the function is."""
    if not isinstance(named, dict):
        return None
    found = _first(_bindings(file), named.get("binding", MISSING))
    if found is None:
        return None
    place, entry = found
    binding, name = to_text(entry.get("binding", MISSING)), to_text(named.get("function", MISSING))
    return (
        Function(to_text(entry.get("alias", MISSING)), binding, name),
        (*place, "binding"),
        (*here, "function"),
    )


def _first(entries: list[tuple[Path, object]], alias: object) -> tuple[Path, dict[str, object]] | None:
    for place, entry in entries:
        if isinstance(entry, dict) and equal(entry.get("alias", MISSING), alias):
            return place, entry
    return None


def shown_config(file: Mapping[str, object]) -> dict[str, object]:
    """A file as the gateway shows it to services: old spellings are rewritten."""
    shown = {**file}
    if "servicesBindings" in file:
        shown["serviceBindings"] = bindings(file)
    routes = file.get("paths")
    if isinstance(routes, list):
        shown["paths"] = [_shown_route(route) for route in routes]
    return shown


def _shown_route(route: object) -> object:
    integration = route.get("integration") if isinstance(route, dict) else None
    if isinstance(route, dict) and isinstance(integration, dict) and integration.get("type") == "http":
        return {**route, "integration": {**integration, "type": "http_proxy"}}
    return route
