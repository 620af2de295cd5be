"""A service with jobs on loopback, and the protocol to speak to it; jobs get on as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from airgate.errors import JobFailed, NotFound, Unavailable
from airgate.jobs import Ask, JobHandle, JobProtocol, JobState, JobStatus, Talk


@dataclass
class Job:
    """One job of the farm."""

    id: str
    key: str
    body: Any
    state: str = "running"
    percent: float | None = None
    looks: int = 0
    """How often its state was asked for."""
    over_after: int | None = None
    """Looks after which it is ``succeeded``; None leaves it running."""
    cancels: int = 0


@dataclass
class Farm:
    """What the server knows, and how it behaves."""

    address: str = ""
    honours_keys: bool = True
    drop_answers: int = 0
    """Submissions whose job is made and whose answer is lost."""
    hold: threading.Event | None = None
    """The answer to the next submission, whose job is made, waits for it."""
    lose: int = 0
    """Submissions that never arrive: the connection ends, and no job is made."""
    refuse_submissions: list[int] = field(default_factory=list)
    """Answers to the next submissions, with an hour to wait behind 429; no job is made."""
    refuse_within: int = 0
    """Submissions that are refused within an answer of 202, as GraphQL does."""
    refuse: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Answers to the next looks, in place of a state."""
    refuse_cancels: int = 0
    """Cancellations that are answered with 503."""
    refuse_with: int | None = None
    """Status of the answer to every look by key."""
    refuse_many: int | None = None
    """Status of the answer to every look at several jobs."""
    unseen: int = 0
    """Looks by key that do not show a job yet."""
    over_after: int | None = 2
    stays_cancelling: bool = False
    """Whether a cancelled job goes on until ``settle``."""
    forgets: bool = False
    """Whether it knows nothing of a cancelled job."""
    retry_after: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    """What the requests were authorized with."""
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def only(self) -> Job:
        """The one job that there is."""
        (job,) = self.jobs.values()
        return job

    def settle(self) -> None:
        """Let the cancelled jobs end."""
        for job in self.jobs.values():
            if job.state == "cancelling":
                job.state = "cancelled"

    def submit(self, key: str, body: Any) -> tuple[Job, bool]:
        """The job, and whether its answer is lost."""
        with self.lock:
            known = next((job for job in self.jobs.values() if job.key == key), None)
            if known is None or not self.honours_keys:
                known = Job(f"job-{len(self.jobs) + 1}", key, body, over_after=self.over_after)
                self.jobs[known.id] = known
            lost, self.drop_answers = self.drop_answers > 0, max(0, self.drop_answers - 1)
            return known, lost

    def look(self, job: Job) -> dict[str, Any]:
        """How a job stands, after this look."""
        with self.lock:
            job.looks += 1
            if job.state == "running" and job.over_after is not None and job.looks >= job.over_after:
                job.state = "succeeded"
            return {"id": job.id, "state": job.state, "percent": job.percent}

    def cancel(self, job: Job) -> None:
        """End a job."""
        with self.lock:
            job.cancels += 1
            if job.state == "running":
                job.state = "cancelling" if self.stays_cancelling else "cancelled"


@contextmanager
def farm() -> Iterator[Farm]:
    """A running one."""
    known = Farm()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            known.connections += 1
            super().setup()

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self) -> None:
            split = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            known.requests.append((self.command, self.path))
            known.tokens.append(self.headers.get("Authorization") or "")
            try:
                status, value, headers = self.treat(split.path, parse_qs(split.query), body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            payload = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = answer

        def treat(self, path: str, query: Mapping[str, list[str]], body: bytes) -> tuple[int, Any, dict[str, str]]:
            if self.command == "POST":
                sent = json.loads(body)
                if known.lose > 0:
                    known.lose -= 1
                    raise ConnectionAbortedError
                if known.refuse_submissions:
                    status = known.refuse_submissions.pop(0)
                    return status, {"error": "not now"}, {"Retry-After": "3600"} if status == 429 else {}
                if known.refuse_within > 0:
                    known.refuse_within -= 1
                    return 202, {"error": "no room"}, {}
                job, lost = known.submit(self.headers.get("Idempotency-Key") or sent["key"], sent)
                held, known.hold = known.hold, None
                if held is not None:
                    held.wait(30)
                if lost:
                    raise ConnectionAbortedError
                return 202, {"id": job.id}, {}
            if path == "/jobs" and "ids" in query and known.refuse_many is not None:
                return known.refuse_many, {"error": "no"}, {}
            if path == "/jobs" and "ids" in query:
                ids = query["ids"][0].split(",")
                return 200, [known.look(known.jobs[name]) for name in ids if name in known.jobs], {}
            if path == "/jobs" and known.refuse_with is not None:
                return known.refuse_with, {"error": "no"}, {}
            if path == "/jobs" and known.unseen > 0:
                known.unseen -= 1
                return 200, [], {}
            if path == "/jobs":
                return 200, [{"id": job.id} for job in known.jobs.values() if job.key == query["key"][0]], {}
            job_or_none = known.jobs.get(path.split("/")[2])
            if job_or_none is None or (known.forgets and job_or_none.state == "cancelled"):
                return 404, {"error": "no such job"}, {}
            if self.command == "DELETE" and known.refuse_cancels > 0:
                known.refuse_cancels -= 1
                return 503, {"error": "not now"}, {}
            if self.command == "DELETE":
                known.cancel(job_or_none)
                return 200, {}, {}
            if path.endswith("/result"):
                return 200, {"made": job_or_none.body}, {}
            if known.refuse:
                status, headers = known.refuse.pop(0)
                return status, {"error": "not now"}, headers
            return 200, known.look(job_or_none), {"Retry-After": known.retry_after} if known.retry_after else {}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    known.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class FarmJob(JobProtocol):
    """Work at the farm."""

    body: Any = None
    header: bool = True
    """Whether the key is sent as the service honours it, or only in the body."""
    can_find: bool = True

    template_fields: ClassVar[Sequence[str]] = ("body",)

    @property
    def unique(self) -> bool:
        """By the header."""
        return self.header

    @property
    def finds(self) -> bool:
        """As set."""
        return self.can_find

    def problem(self) -> str | None:
        """Without a body there is nothing to do."""
        return "body is missing" if self.body is None else None

    def submit(self, key: str) -> Talk[JobHandle]:
        """One POST."""
        answer = yield Ask("POST", "/jobs", json={**self.body, "key": key})
        made = answer.json()
        if "error" in made:
            raise Unavailable(made["error"])
        return JobHandle(made["id"])

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """One GET."""
        answer = yield Ask("GET", "/jobs/{id}", {"id": handle.id})
        after = answer.headers.get("retry-after")
        return _status(answer.json(), float(after) if after else None)

    def result(self, handle: JobHandle) -> Talk[Any]:
        """The result, or the failure."""
        status = yield from self.status(handle)
        if status.state is not JobState.SUCCEEDED:
            anew = status.state is not JobState.CANCELLED  # somebody has ended it, and wants no other
            raise JobFailed(f"job {handle.id} is {status.state}", excerpt="line 1\nline 2", retryable=anew)
        answer = yield Ask("GET", "/jobs/{id}/result", {"id": handle.id})
        return answer.json()

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """One DELETE."""
        try:
            yield Ask("DELETE", "/jobs/{id}", {"id": handle.id})
        except NotFound:
            return

    def find(self, key: str) -> Talk[JobHandle | None]:
        """By the key."""
        answer = yield Ask("GET", "/jobs", params={"key": key})
        return next((JobHandle(found["id"]) for found in answer.json()), None)


@dataclass
class FarmJobs(FarmJob):
    """Work at the farm, looked at together."""

    batch: ClassVar[int] = 10

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """One GET."""
        answer = yield Ask("GET", "/jobs", params={"ids": ",".join(handle.id for handle in handles)})
        return {found["id"]: _status(found) for found in answer.json()}


def _status(found: Mapping[str, Any], retry_after: float | None = None) -> JobStatus:
    state = found["state"] if found["state"] in set(JobState) else "running"
    return JobStatus(JobState(state), found["percent"], found["state"], retry_after=retry_after)
