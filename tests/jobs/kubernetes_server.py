"""A stub of the API server of Kubernetes: questions and answers are held against the published schemas.

The query parameters are those of the API reference; one that an operation does not have is refused.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.jobs.kubernetes_cluster import BEHAVIOURS, Cluster
from tests.jobs.kubernetes_schemas import problem_of

TOKEN = "service-account-token"
_JOBS = "/apis/batch/v1/namespaces/(?P<namespace>[^/]+)/jobs"
_PODS = "/api/v1/namespaces/(?P<namespace>[^/]+)/pods"
_LISTED = {"labelSelector", "fieldSelector", "limit", "continue", "resourceVersion"}
OPERATIONS: list[tuple[str, str, str, set[str]]] = [
    ("POST", _JOBS, "create_job", {"fieldManager", "fieldValidation", "dryRun", "pretty"}),
    ("GET", _JOBS, "list_jobs", _LISTED),
    ("GET", f"{_JOBS}/(?P<name>[^/]+)", "read_job", {"pretty"}),
    ("DELETE", f"{_JOBS}/(?P<name>[^/]+)", "delete_job", {"propagationPolicy", "gracePeriodSeconds", "dryRun"}),
    ("GET", _PODS, "list_pods", _LISTED),
    ("GET", f"{_PODS}/(?P<name>[^/]+)/log", "read_log", {"container", "tailLines", "previous", "limitBytes"}),
]
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LABEL = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


class Refused(Exception):
    """A Status of kind Failure."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }


@dataclass
class ApiServerStub:
    """The server, what is behind it, and what it was asked."""

    address: str
    cluster: Cluster
    asked: list[str]
    """Names of the operations, in order."""
    faults: list[str]
    """Broken rules of the API, the stub's own answers included."""

    def connection(self, **extra: Any) -> str:
        """The Airflow connection to it."""
        fields = {"conn_type": "gateway", "host": self.address, "password": TOKEN}
        return json.dumps({**fields, "extra": {"auth": "bearer", "backoff": 0.001, "attempts": 2, **extra}})


@contextmanager
def kubernetes() -> Iterator[ApiServerStub]:
    """Run it until the end of the context."""
    cluster = Cluster()
    stub = ApiServerStub("", cluster, [], [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            with cluster.lock:
                try:
                    code, said = _handled(stub, self, body)
                except Refused as refused:
                    code, said = refused.code, refused.body
            self.reply(code, said)

        def reply(self, code: int, said: Any) -> None:
            content, kind = json.dumps(said).encode(), "application/json"
            if isinstance(said, str):
                content, kind = said.encode(), "text/plain"
            elif problem := problem_of(_definition(said), said):
                stub.faults.append(f"answer: {problem}")
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = answer

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    stub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _definition(said: dict[str, Any]) -> str:
    place = "batch.v1." if said["kind"].startswith("Job") else "core.v1."
    return f"io.k8s.{'apimachinery.pkg.apis.meta.v1.' if said['kind'] == 'Status' else 'api.' + place}{said['kind']}"


def _handled(stub: ApiServerStub, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        raise Refused(401, "Unauthorized", "Unauthorized")
    split = urlsplit(request.path)
    query = {name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
    for method, path, name, known in OPERATIONS:
        found = re.fullmatch(path, split.path)
        if method == request.command and found:
            stub.asked.append(name)
            if unknown := set(query) - known:
                stub.faults.append(f"{name} has no parameter {unknown}")
                raise Refused(400, "BadRequest", f"no parameter {unknown}")
            place = {key: unquote(value) for key, value in found.groupdict().items()}
            now = stub.cluster.step()
            value = json.loads(body) if body else None
            return _OPERATION[name](stub, now, query, value, **place)
    stub.faults.append(f"no operation {request.command} {split.path}")
    raise Refused(404, "NotFound", "the server could not find the requested resource")


def _create_job(stub: ApiServerStub, now: float, query: dict[str, str], body: Any, namespace: str) -> tuple[int, Any]:
    if problem := problem_of("io.k8s.api.batch.v1.Job", body):
        code = "BadRequest" if query.get("fieldValidation") == "Strict" else "Invalid"
        raise Refused(400, code, f"strict decoding error: {problem}")
    metadata, pod = body["metadata"], body["spec"]["template"]["spec"]
    if metadata.get("namespace", namespace) != namespace:
        raise Refused(400, "BadRequest", "the namespace of the provided object does not match that of the request")
    if len(metadata["name"]) > 63 or not _NAME.fullmatch(metadata["name"]):
        raise Refused(422, "Invalid", f'Job.batch "{metadata["name"]}" is invalid: metadata.name')
    for each in (metadata, body["spec"]["template"].get("metadata") or {}):
        for label, value in (each.get("labels") or {}).items():
            if not _LABEL.fullmatch(label) or len(value) > 63 or not _VALUE.fullmatch(value):
                raise Refused(422, "Invalid", f"metadata.labels: invalid: {label}={value}")
    if pod.get("restartPolicy") not in {"Never", "OnFailure"}:
        raise Refused(422, "Invalid", "spec.template.spec.restartPolicy: Required value")
    if pod["containers"][0]["image"] not in BEHAVIOURS:
        raise AssertionError("the stub does not know the image")
    job = stub.cluster.create(body)
    if job is None:
        raise Refused(409, "AlreadyExists", f'jobs.batch "{metadata["name"]}" already exists')
    return 201, job.to_json(now)


def _read_job(stub: ApiServerStub, now: float, _: Any, __: Any, namespace: str, name: str) -> tuple[int, Any]:
    job = stub.cluster.job(namespace, name)
    if job is None:
        raise Refused(404, "NotFound", f'jobs.batch "{name}" not found')
    return 200, job.to_json(now)


def _list_jobs(stub: ApiServerStub, now: float, query: dict[str, str], _: Any, namespace: str) -> tuple[int, Any]:
    found = [job.to_json(now) for job in stub.cluster.jobs(namespace)]
    return 200, _listed("JobList", "batch/v1", found, query)


def _list_pods(stub: ApiServerStub, now: float, query: dict[str, str], _: Any, namespace: str) -> tuple[int, Any]:
    found = [pod.to_json(now) for pod in stub.cluster.pods(namespace)]
    return 200, _listed("PodList", "v1", found, query)


def _listed(kind: str, version: str, found: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """One page; the stub gives two at most, however many are asked for, and a server may do so."""
    chosen = [each for each in found if _selects(query.get("labelSelector", ""), each["metadata"].get("labels") or {})]
    start = int(query.get("continue") or 0)
    end = start + min(int(query.get("limit") or 2), 2)
    more = {"continue": str(end)} if end < len(chosen) else {}
    return {"apiVersion": version, "kind": kind, "metadata": more, "items": chosen[start:end]}


def _selects(selector: str, labels: dict[str, str]) -> bool:
    if not selector:
        return True
    if one_of := re.fullmatch(r"(\S+) in \(([^()]*)\)", selector):
        return labels.get(one_of[1]) in one_of[2].split(",")
    name, is_equal, value = selector.partition("=")
    assert is_equal, selector
    return labels.get(name) == value


def _delete_job(
    stub: ApiServerStub, now: float, query: dict[str, str], _: Any, namespace: str, name: str
) -> tuple[int, Any]:
    job = stub.cluster.job(namespace, name)
    if job is None:
        raise Refused(404, "NotFound", f'jobs.batch "{name}" not found')
    assert query.get("propagationPolicy") == "Foreground", "without it, a Job of the API leaves its pods behind"
    job.deleted = now if job.deleted is None else job.deleted
    return 200, job.to_json(now)


def _read_log(
    stub: ApiServerStub, now: float, query: dict[str, str], _: Any, namespace: str, name: str
) -> tuple[int, Any]:
    pod = next((pod for pod in stub.cluster.pods(namespace) if pod.name == name), None)
    if pod is None:
        raise Refused(404, "NotFound", f'pods "{name}" not found')
    if pod.phase(now) == "Pending":
        raise Refused(400, "BadRequest", f'container "{query["container"]}" in pod "{name}" is waiting to start')
    lines = pod.does.log.splitlines(keepends=True)
    return 200, "".join(lines[-int(query.get("tailLines") or len(lines)) :])


_OPERATION: dict[str, Callable[..., tuple[int, Any]]] = {
    "create_job": _create_job,
    "read_job": _read_job,
    "list_jobs": _list_jobs,
    "delete_job": _delete_job,
    "list_pods": _list_pods,
    "read_log": _read_log,
}
