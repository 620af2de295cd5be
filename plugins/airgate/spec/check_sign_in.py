"""Strict mode's look at routes that sign users in: they need an application, or a project, to sign them in to."""

from collections.abc import Iterator, Mapping

from airgate.spec.auth0_routes import AUTH0_KINDS
from airgate.spec.problem import Path, Problem, at
from airgate.spec.supabase_routes import KEY_VARIABLE, SUPABASE_KINDS, URL_VARIABLE
from airgate.spec.url import is_guarded_url

_NEEDED = {
    "auth0_callback_redirect": ("client_id", "redirect_uri", "scope"),
    "auth0_callback": ("client_id", "client_secret", "redirect_uri", "scope"),
    "auth0_refresh": ("client_id", "client_secret"),
    "auth0_userinfo": (),
}
"""Settings of the authorizer that an integration uses, besides those that every token needs."""


def sign_in_problems(file: Mapping[str, object], environment: Mapping[str, str]) -> Iterator[Problem]:
    """The problems of such routes of a file, whose variables are already put in."""
    authorizer = file.get("authorizer")
    settings = authorizer if isinstance(authorizer, dict) else {}
    routes = file.get("paths")
    used = dict[str, int]()
    for position, route in enumerate(routes if isinstance(routes, list) else ()):
        integration = route.get("integration") if isinstance(route, dict) else None
        kind = integration.get("type") if isinstance(integration, dict) else None
        if not isinstance(kind, str) or kind not in (*AUTH0_KINDS, *SUPABASE_KINDS):
            continue
        here: Path = ("paths", position, "integration")
        used.setdefault(kind, position)
        if kind in AUTH0_KINDS and settings.get("type") != "auth0":
            what = "the application at Auth0 is described by an authorizer of the type 'auth0'"
            yield at((*here, "type"), what, "Add that authorizer")
        elif kind in SUPABASE_KINDS:
            yield from _project_problems((*here, "type"), environment)
    if settings.get("type") == "auth0":
        yield from _application_problems(settings, used)


def _application_problems(settings: Mapping[str, object], used: Mapping[str, int]) -> Iterator[Problem]:
    for kind, position in used.items():
        for key in _NEEDED.get(kind, ()):
            if not isinstance(settings.get(key), str) or not settings[key]:
                yield at(("authorizer", key), f"it is missing, and /paths/{position} needs it", "Add it")
    redirect = settings.get("redirect_uri")
    if redirect is not None and not is_guarded_url(redirect):
        what = "it is no https URL: whoever reads along could take the code of a sign-in"
        yield at(("authorizer", "redirect_uri"), what, "Use https; http is for this machine only")
    scope = settings.get("scope")
    if "auth0_callback" in used and isinstance(scope, str) and "openid" not in scope.split():
        what = "without openid Auth0 sends no ID token, which the callback checks"
        yield at(("authorizer", "scope"), what, "Add openid to it")


def _project_problems(here: Path, environment: Mapping[str, str]) -> Iterator[Problem]:
    missing = [name for name in (URL_VARIABLE, KEY_VARIABLE) if not environment.get(name)]
    if missing:
        named = " and ".join(missing)
        yield at(here, f"the environment names no Supabase project: {named} not set", f"Set {named} for the edge")
    elif not is_guarded_url(environment[URL_VARIABLE]):
        what = f"{URL_VARIABLE} is no https URL, so that the key would travel in clear text"
        yield at(here, what, "Use https; http is for this machine only")
