"""A folder of stand-ins for tests, and a gateway's file with a route for each way to answer."""

from pathlib import Path
from typing import Any

from tests.edge.edge_process import SECRET

BOUND = '''
"""Functions of the service binding `SVC`."""

import asyncio
import json
import sys
import time
from pathlib import Path

from airgate.edge.services import Context, Env, Request, Response

from . import shared


def obj(request, env, context): return {"a": 1, "b": [True, None, 1.5]}
def text(request, env, context): return "some text"
def none(request, env, context): return None
def integer(request, env, context): return 7
def boolean(request, env, context): return True
def listed(request, env, context): return ["x", {"y": 1}]
def empty(request, env, context): return []
def created(request, env, context): return {"statusCode": 201, "message": "made", "id": 7}
def wrong(request, env, context): return {"error": "no stock", "message": "sorry", "id": 7}
def wrong_status(request, env, context): return {"error": {"code": 5}, "statusCode": 409}
def odd_status(request, env, context): return {"statusCode": 99}
def no_json(request, env, context): return {"when": object()}
def holds_itself(request, env, context):
    value = []
    value.append(value)
    return value
def boom(request, env, context): raise RuntimeError(f"no luck with {env.get('TENANT')}")
def gone(request, env, context): sys.exit(3)
def response(request, env, context):
    headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Own", "é"), ("Content-Length", "999")]
    return Response("teapot", 418, headers)
def split(request, env, context): return Response("x", headers={"X-A": "1\\r\\nX-B: 2"})
def no_content(request, env, context): return Response(status=204)
def as_json(request, env, context): return Response.json({"é": 1}, 202, {"X-Own": "1"})


async def echo(request: Request, env: Env, context: Context):
    """Everything that a stand-in is told."""
    await asyncio.sleep(0)
    return {
        "method": request.method,
        "url": request.url,
        "path": request.path,
        "query": dict(request.query),
        "headers": dict(request.headers),
        "body": request.body.decode(),
        "env": {name: env[name] for name in ("TENANT", "EDGE_TEST_SECRET") if name in env},
        "config": context.api_config,
        "claims": dict(context.jwt_payload),
        "matched": {
            name: getattr(context.matched_path, name)
            for name in ("position", "path", "parameters", "exact", "count", "wildcard")
        },
        "shared": shared.WORD,
        "shown": f"{request!r} {context!r}",
    }


def allow(request, env, context): return True
def allow_by_body(request, env, context): return request.json()["pass"] == "yes" or Response.json({"why": "no"}, 403)
def deny(request, env, context): return Response("denied", 451)
def deny_false(request, env, context): return False
def deny_object(request, env, context): return {"let": "in"}
def one(request, env, context): return 1
def show(request, env, context): return Response.json(dict(request.headers))


async def hang(request, env, context):
    Path(env["MARK"]).write_text("begun")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        Path(env["MARK"]).write_text("cancelled")
        raise


def block(request, env, context): time.sleep(60)


async def cancels_itself(request, env, context): raise asyncio.CancelledError
def raises_timeout(request, env, context): raise TimeoutError
def after(request, env, context):
    Path(env["MARK"]).write_text(json.dumps({"claims": dict(context.jwt_payload), "body": request.body.decode()}))
'''

SERVICE = """
from dataclasses import dataclass

from ..shared import WORD


@dataclass
class Orders:
    count: int = 0

    def fetch(self, request, env, ctx):
        self.count += 1
        return {"orders": [WORD], "count": self.count, "path": request.path}
"""

OBJECT = """
class Audit:
    async def note(self, request, env, context):
        return "noted"


AUDIT = Audit()
"""

RESULTS = (
    *("obj", "text", "none", "integer", "boolean", "listed", "empty", "created", "wrong", "wrong_status"),
    *("odd_status", "no_json", "holds_itself", "boom", "gone", "response", "split", "no_content", "as_json", "echo"),
)
FAILING = ("cancels_itself", "raises_timeout")
HOOKS = ("allow", "allow_by_body", "deny", "deny_false", "deny_object", "none", "one", "text", "boom")
VARIABLES = {"TENANT": "acme", "EDGE_TEST_SECRET": SECRET}


def stand_ins(folder: Path) -> Path:
    """Write the modules; the folder."""
    (folder / "services").mkdir(parents=True)
    (folder / "SVC.py").write_text(BOUND)
    (folder / "shared.py").write_text('WORD = "shared"\n')
    (folder / "services" / "orders.py").write_text(SERVICE)
    (folder / "AUDIT.py").write_text(OBJECT)
    return folder


def bound(path: str, function: str, alias: str = "svc", policies: object = None, **more: Any) -> dict[str, Any]:
    """A route that a function of a service binding answers."""
    more |= {} if policies is None else {"x-airgate": policies}
    integration = {"type": "service_binding", "binding": alias, "function": function}
    return {"method": "ANY", "path": path, "integration": integration, **more}


def hooked(path: str, function: str, policies: object = None, **more: Any) -> dict[str, Any]:
    """A route to a server, behind a hook."""
    more |= {} if policies is None else {"x-airgate": policies}
    integration = {"type": "http_proxy", "server": "up"}
    hook = {"binding": "svc", "function": function}
    return {"method": "ANY", "path": path, "integration": integration, "pre_process": hook, **more}


def gateway_file(upstream: str) -> dict[str, Any]:
    """A file that both modes serve."""
    return {
        "servers": [{"alias": "up", "url": upstream}],
        "services": [{"alias": "orders", "entrypoint": "./services/orders"}],
        "serviceBindings": [{"alias": "svc", "binding": "SVC"}, {"alias": "audit", "binding": "AUDIT"}],
        "authorizer": {"type": "jwt", "secret": "$secret.EDGE_TEST_SECRET"},
        "cors": {"allow_origins": ["https://app.example"]},
        "variables": {"tenant": "$env.TENANT", "pin": "$secret.TENANT", "api_key": "literal-secret"},
        "x-airgate": {"services": {"env": ["TENANT"]}},
        "paths": [
            *(bound(f"/result/{name}", name) for name in (*RESULTS, *FAILING)),
            *(hooked(f"/hook/{name}", name) for name in HOOKS),
            bound("/users/{id}/echo", "echo", auth=True),
            hooked("/mapped", "show", mapping={"headers": {"X-User": "$request.jwt.sub"}}),
            bound("/audit", "note", "audit"),
            {"method": "ANY", "path": "/orders/{.+}", "integration": {"type": "service", "binding": "orders"}},
            {**bound("/both", "echo"), "pre_process": {"binding": "svc", "function": "allow_by_body"}},
            {"method": "GET", "path": "/static", "response": 1},
        ],
    }
