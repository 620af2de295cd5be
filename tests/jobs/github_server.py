"""GitHub Actions on loopback: built from GitHub's published description, which it holds each request against.

Its answers are the description's own examples with the state of the run put in, and are held against it as well. Runs
get on by one step whenever their state is asked for, or stay where a test puts them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.jobs.described_api import Description

API = Description(Path(__file__).with_name("github_api.json"))
NEW = "2026-03-10"
VERSIONS = {"2022-11-28", NEW}
STEPS = ("Check out", "Compile", "Upload")

Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Run:
    """One workflow run."""

    id: int
    title: str
    inputs: dict[str, str]
    ref: str
    conclusion: str = "success"
    """What it comes to."""
    state: str = "queued"
    done: int = 0
    """Steps that are completed."""
    stays: bool = False
    """Whether looks do not move it."""
    unseen: int = 0
    """Lists that do not show it yet."""
    cancels: list[str] = field(default_factory=list)

    def move(self) -> None:
        """One step on."""
        if self.stays or self.state == "completed":
            return
        if self.state == "queued":
            self.state = "in_progress"
        elif self.done < 2:
            self.done += 1
        else:
            self.state = "completed"

    def cancel(self, verb: str) -> bool:
        """End it; False when it is over."""
        if self.state == "completed":
            return False
        self.cancels.append(verb)
        self.state, self.conclusion = "completed", "cancelled"
        return True

    def shown(self) -> dict[str, Any]:
        """As GitHub shows it."""
        over = self.state == "completed"
        return API.example("workflow-run") | {
            "id": self.id,
            "name": "Build",
            "display_title": self.title,
            "event": "workflow_dispatch",
            "status": self.state,
            "conclusion": self.conclusion if over else None,
            "html_url": f"https://github.example/octo-org/octo-repo/actions/runs/{self.id}",
        }

    def jobs(self) -> list[dict[str, Any]]:
        """Its two jobs: one is over, the other at work."""
        # The published example lacks what its schema requires.
        base = API.example("job-paginated")["jobs"][0] | {"run_id": self.id, "created_at": "2026-01-20T17:42:40Z"}
        lint = base | {"id": 1, "name": "lint", "status": "completed", "conclusion": "success"}
        over = self.state == "completed"
        ending = self.conclusion if self.conclusion in {"failure", "cancelled", "success"} else "success"
        state = "completed" if over else "waiting" if self.state == "waiting" else "in_progress"
        steps = [_step(number, name, self, over, ending) for number, name in enumerate(STEPS)]
        build = base | {
            "id": 2,
            "name": "build",
            "status": state,
            "conclusion": ending if over else None,
            "completed_at": "2026-01-20T17:44:39Z" if over else None,
            "html_url": f"https://github.example/octo-org/octo-repo/actions/runs/{self.id}/job/2",
            "steps": steps,
        }
        return [lint, build]


def _step(number: int, name: str, run: Run, over: bool, ending: str) -> dict[str, Any]:
    state = "completed" if over or number < run.done else "in_progress" if number == run.done else "queued"
    passed = number < run.done or ending == "success"
    result = ("success" if passed else ending if number == run.done else "skipped") if state == "completed" else None
    return {"name": name, "number": number + 1, "status": state, "conclusion": result}


@dataclass
class Github:
    """What the stub knows, and how it behaves."""

    address: str = ""
    knows_details: bool = True
    """False for an Enterprise Server that does not know ``return_run_details``."""
    shows_key: bool = True
    """Whether the workflow puts the input ``airgate_key`` into its ``run-name``."""
    conclusion: str = "success"
    stays: bool = False
    unseen: int = 0
    drop_answers: int = 0
    """Dispatches that are taken and whose answer is lost."""
    refuse: list[Answer] = field(default_factory=list)
    """Answers in place of the next ones."""
    log_here: str | None = None
    """The log of a job, from the API itself; None leads to another host, as GitHub does."""
    runs: dict[int, Run] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Where a request, or an answer of this stub, is not as GitHub describes it."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def only(self) -> Run:
        """The one run that there is."""
        (run,) = self.runs.values()
        return run

    def dispatch(self, body: dict[str, Any], version: str) -> Answer:
        """Start a run."""
        if "return_run_details" in body and version == NEW:
            self.faults.append("return_run_details went with the version that removed it")
        if "return_run_details" in body and not self.knows_details:
            message = 'Invalid request.\n\n"return_run_details" is not a permitted key.'
            return 422, {"message": message, "documentation_url": "https://docs.github.example/rest"}, {}
        inputs = body.get("inputs", {})
        if any(not isinstance(value, str) for value in inputs.values()):
            self.faults.append(f"an input is no text: {inputs}")
        title = f"Build {inputs.get('airgate_key', '')}" if self.shows_key else "Build"
        run = Run(9000 + len(self.runs), title, inputs, body["ref"], self.conclusion, stays=self.stays)
        run.unseen = self.unseen
        self.runs[run.id] = run
        if self.drop_answers:
            self.drop_answers -= 1
            raise ConnectionAbortedError
        if not body.get("return_run_details") and version != NEW:
            return 204, None, {}
        page = run.shown()["html_url"]
        return 200, {"workflow_run_id": run.id, "run_url": f"{self.address}/runs/{run.id}", "html_url": page}, {}

    def listed(self, query: dict[str, list[str]]) -> Answer:
        """A page of the runs, the latest first."""
        shown = []
        for run in reversed(self.runs.values()):
            run.unseen -= 1
            if run.unseen < 0:
                run.move()
                shown.append(run.shown())
        size, page = int(query["per_page"][0]), int(query.get("page", ["1"])[0])
        since = query.get("created", [">=2000-01-01"])[0]
        assert since.startswith(">=")
        assert time.strptime(since[2:], "%Y-%m-%d") < time.gmtime()
        part = shown[(page - 1) * size : page * size]
        return 200, {"total_count": len(shown), "workflow_runs": part}, {}

    def treat(self, name: str, path: dict[str, str], query: dict[str, list[str]], body: bytes, version: str) -> Answer:
        """The answer of an operation."""
        verb = name.removeprefix("actions/")
        if verb == "create-workflow-dispatch":
            return self.dispatch(json.loads(body), version)
        if verb in {"list-workflow-runs", "list-workflow-runs-for-repo"}:
            return self.listed(query)
        if verb == "download-job-logs-for-workflow-run":
            if self.log_here is None:
                return 302, None, {"Location": "http://127.0.0.1:9/signed?sig=s3cret-of-the-log"}
            return 200, self.log_here, {}
        run = self.runs.get(int(path["run_id"]))
        if run is None:
            return 404, {"message": "Not Found", "status": "404"}, {}
        if verb in {"cancel-workflow-run", "force-cancel-workflow-run"}:
            if not run.cancel(verb):
                return 409, {"message": "Cannot cancel a workflow run that is completed.", "status": "409"}, {}
            return 202, {}, {}
        if verb == "list-jobs-for-workflow-run":
            return 200, {"total_count": 2, "jobs": run.jobs()}, {}
        if verb == "list-workflow-run-artifacts":
            artifacts = API.example("artifact-paginated")
            return 200, artifacts, {}
        if verb == "get-pending-deployments-for-run":
            waits = API.example("pending-deployment-items")
            waits[0]["reviewers"].pop()  # a team, and the published example of one is not as its schema requires
            return 200, waits, {}
        run.move()
        return 200, run.shown(), {}


@contextmanager
def github() -> Iterator[Github]:
    """A running one, below ``/github``; its end says where something was not as GitHub describes it."""
    known = Github()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                with known.lock:
                    status, value, headers = self.treat(body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            payload = value.encode() if isinstance(value, str) else b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, text)
            if status != 204:
                self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def treat(self, body: bytes) -> Answer:
            split = urlsplit(self.path)
            path = unquote(split.path).removeprefix("/github")
            known.requests.append(f"{self.command} {path.removeprefix('/repos/octo-org/octo-repo/actions')}")
            found = API.operation(self.command, path)
            if found is None:
                known.faults.append(f"{self.command} {path}: not described")
                return 404, {"message": "Not Found"}, {}
            operation, path_params = found
            query = parse_qs(split.query)
            faults = API.complaints(operation, path_params, query, body)
            version = self.headers.get("X-GitHub-Api-Version") or ""
            if version not in VERSIONS:
                faults.append("X-GitHub-Api-Version is missing or not supported")
            if not self.headers.get("User-Agent") or self.headers.get("Authorization") != "Bearer t0ken-of-the-test":
                faults.append("User-Agent or token is missing")
            known.faults += [f"{operation['operationId']}: {fault}" for fault in faults]
            if faults:
                return 422, {"message": "; ".join(faults)}, {}
            if known.refuse:
                return known.refuse.pop(0)
            answer = known.treat(operation["operationId"], path_params, query, body, version)
            if answer[0] < 300:
                plain = "download" in operation["operationId"]
                flaws = [] if plain else API.flaws(operation, answer[0], answer[1])
                known.faults += [f"the stub, {operation['operationId']}: {flaw}" for flaw in flaws]
            return answer

        do_GET = do_POST = do_DELETE = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    known.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
    assert not known.faults, known.faults
