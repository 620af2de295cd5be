"""Integrations that sign users in at a service of identities, from the file and the environment. Pure."""

from collections.abc import Mapping

from airgate.spec.auth0_routes import AUTH0_KINDS, Auth0Route, Tenant
from airgate.spec.services import post_process
from airgate.spec.supabase_routes import SUPABASE_KINDS, Project, SupabaseRoute

SignIn = Auth0Route | SupabaseRoute
SIGN_IN_TYPES: tuple[str, ...] = (*AUTH0_KINDS, *SUPABASE_KINDS)


def sign_in_route(
    integration: Mapping[str, object], file: Mapping[str, object], environment: Mapping[str, str], *, strict: bool
) -> SignIn | None:
    """What a route with such an integration does; None for every other integration.

    Args:
        integration: The route's integration.
        file: The file, whose authorizer describes the application at Auth0.
        environment: The variables, which name the project at Supabase.
        strict: Whether the answers are those of strict mode.
    """
    for auth0 in AUTH0_KINDS:
        if integration.get("type") == auth0:
            authorizer = file.get("authorizer")
            tenant = Tenant.of(authorizer, strict=strict) if isinstance(authorizer, dict) else None
            return Auth0Route(auth0, tenant, strict, post_process(integration, file))
    for supabase in SUPABASE_KINDS:
        if integration.get("type") == supabase:
            return SupabaseRoute(supabase, Project.of(environment), strict)
    return None
