"""What Airflow's api-server serves below ``/airgate/v1``."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airgate.ingress.callbacks import CallbackEndpoint
from airgate.ingress.problem import problem
from airgate.ingress.runs import RunEndpoints
from airgate.ingress.webhooks import WebhookEndpoint

PREFIX = "/airgate/v1"


def build() -> FastAPI:
    """The application. FastAPI's own description stays off: Airflow protects nothing of what a plugin serves."""
    app = FastAPI(title="Airgate", docs_url=None, redoc_url=None, openapi_url=None)
    endpoint, runs, webhooks = CallbackEndpoint(), RunEndpoints(), WebhookEndpoint()

    async def called_back(request: Request) -> Response:
        return await endpoint(request)

    async def delivered(request: Request) -> Response:
        return await webhooks(request)

    app.router.routes += [
        Route("/callbacks/{token}", called_back, methods=["POST"]),
        Route("/webhooks/{name}", delivered, methods=["POST"]),
        Route("/dags/{dag_id}/runs", runs.collection, methods=["GET", "POST"]),
        Route("/dags/{dag_id}/runs/{run_id}", runs.item, methods=["GET", "DELETE"]),
        Route("/openapi.json", runs.document, methods=["GET"]),
    ]
    app.add_exception_handler(HTTPException, _refused)
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow", "")
    said = {404: "There is nothing at this address.", 405: f"Only {allowed} is answered here."}
    return problem(error.status_code, said.get(error.status_code, str(error.detail)), error.headers)
