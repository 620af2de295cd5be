"""The call to an upstream as strict mode makes it. Pure."""

from airgate.edge.client_headers import passed_on
from airgate.edge.forwarding import Sender
from airgate.edge.route_policies import RoutePlan
from airgate.spec.answer import NO_MATCH, Answer
from airgate.spec.extension_paths import fill, is_filled, parameters
from airgate.spec.gateway import Chosen, Forward
from airgate.spec.message import Request
from airgate.spec.target import upstream_path


def forwarded(call: Forward, sender: Sender, chosen: Chosen, request: Request, route: RoutePlan) -> Forward | Answer:
    """The call with what the edge tells about the sender, without what the sender cannot tell, to the path meant.

    404 where a placeholder of the rewritten path stands for nothing.
    """
    told = [header for header in sender.headers if header[0] not in route.mapped]
    headers = passed_on(call.headers, request.header("connection"), route.mapped) + told
    path = call.path
    if route.rewrite is not None:
        values = parameters(chosen.route.path, chosen.path)
        if not is_filled(route.rewrite, values):
            return NO_MATCH
        path = upstream_path(call.origin, None, fill(route.rewrite, values))
    return Forward(call.server, call.origin, path, call.query, headers)
