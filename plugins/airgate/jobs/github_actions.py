"""Runs of a GitHub Actions workflow.

Checked against GitHub's description of its REST API as @octokit/openapi 23.0.2 publishes it, and against the pages
"Rate limits for the REST API" and "Breaking changes" of its documentation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from airgate.client import clock
from airgate.jobs.github_fields import problem_of
from airgate.jobs.github_requests import FEW_PAGES, PAGE, GithubRepository, member, members
from airgate.jobs.github_runs import (
    Job,
    Run,
    failure_of,
    limited,
    state_of,
    status_of,
    waits_for_a_rule,
)
from airgate.jobs.job import LONGEST_TEXT, JobHandle, JobState, JobStatus
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Talk
from airgate.policy.errors import (
    Conflict,
    GatewayError,
    JobFailed,
    NotFound,
    OutcomeUnknown,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from airgate.policy.redaction import printable

_LONGEST_RUN = 35 * 86_400.0
"""Seconds: GitHub ends a run after 35 days, so one that still matters is no older."""
_APPEARS = 600.0
"""Seconds in which a run that was accepted must show in the list."""
_ALWAYS_NAMED = "2026-03-10"
"""Version of the API from which on a dispatch names its run without being asked to, and refuses to be asked."""


@dataclass
class GithubWorkflow(JobProtocol):
    """Dispatches a workflow and waits for its run.

    The workflow needs the trigger ``workflow_dispatch``, the token the permission to write Actions.

    Args:
        repository: ``owner/name``.
        workflow: File name of the workflow, such as ``build.yml``, or its numeric id.
        ref: Branch or tag.
        inputs: Of the workflow, at most 25; numbers and truth values are sent as text, as GitHub's own form does.
        key_input: An input of the workflow that takes the submission's key and that its ``run-name`` shows
            (``run-name: Build ${{ inputs.airgate_key }}``): with it a run whose dispatch had no answer is found again.
        run_details: Whether the dispatch asks for the run's id. False for a GitHub Enterprise Server that does not know
            this yet: the run is then found by ``key_input``, which must be given.
        accepts: Conclusions that count as success.
        details: Whether a look at a run that works asks for its jobs and steps, too: one more request.
        force_cancel: Whether a cancellation passes over ``if: always()`` and the like.
        api_version: Of the REST API.
        base: Prefix behind the gateway, such as ``/github``; ends in ``/api/v3`` for an Enterprise Server.
    """

    repository: str = ""
    workflow: str | int = ""
    ref: str = "main"
    inputs: Mapping[str, Any] | str = field(default_factory=dict, repr=False)
    key_input: str | None = None
    run_details: bool = True
    accepts: Collection[str] = ("success", "neutral")
    details: bool = True
    force_cancel: bool = False
    api_version: str = "2022-11-28"
    base: str = ""

    template_fields: ClassVar[Sequence[str]] = ("repository", "workflow", "ref", "inputs", "base")
    watched: ClassVar[Sequence[str]] = (
        "repository",
        "workflow",
        "key_input",
        "accepts",
        "details",
        "force_cancel",
        "api_version",
        "base",
    )
    batch: ClassVar[int] = 25

    @property
    def finds(self) -> bool:
        """With a key that the run's name shows."""
        return self.key_input is not None

    def problem(self) -> str | None:
        """What keeps this from working, None when nothing does."""
        return problem_of(
            repository=self.repository,
            workflow=self.workflow,
            ref=self.ref,
            inputs=self.inputs,
            key_input=self.key_input,
            run_details=self.run_details,
            accepts=self.accepts,
            base=self.base,
        )

    # -- the verbs ------------------------------------------------------------------------------------------------

    def submit(self, key: str) -> Talk[JobHandle]:
        """Dispatch the workflow."""
        path = "/actions/workflows/{workflow}/dispatches"
        try:
            answer = yield self._github.ask("POST", path, {"workflow": self.workflow}, json=self._body(key))
        except Unauthorized as error:
            raise limited(error) or error from None
        except Unprocessable as error:
            raise _explained(error) from None
        if answer.status != 204:
            return JobHandle(str(member(answer, "workflow_run_id")))
        if self.key_input is None:
            raise OutcomeUnknown(
                "GitHub took the dispatch and named no run, so nobody can tell which one is ours; give key_input",
                method=answer.method,
                url=answer.url,
                retryable=False,
            )
        # Seconds pass until a run shows in the list; status looks for it, too.
        with suppress(GatewayError):
            found = yield from self.find(key)
            if found is not None:
                return found
        return JobHandle(f"dispatch {key}", {"key": key, "sent": clock.now()})

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """The run, and its jobs where they are wanted and it works."""
        run = yield from self._run(handle)
        if run is None:
            return JobStatus(JobState.QUEUED, phase="accepted, the run does not show yet")
        return (yield from self._status(run))

    def result(self, handle: JobHandle) -> Talk[Any]:
        """Of a success the conclusion, the commit, the page and the names of the artifacts."""
        run = yield from self._run(handle)
        if run is None:
            raise NotFound(f"no run of {self.workflow} shows {handle.id}")
        if state_of(run, self.accepts) is not JobState.SUCCEEDED:
            yield from self._failed(run)
        artifacts = yield from self._github.pages("/actions/runs/{run}/artifacts", {"run": run["id"]}, "artifacts")
        names = ("conclusion", "run_number", "run_attempt", "html_url", "head_sha")
        return {
            "run_id": run["id"],
            **{name: run.get(name) for name in names},
            "artifacts": [artifact["name"] for artifact in artifacts],
        }

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """Ask GitHub to end the run: its jobs get a few minutes, and ``if: always()`` is heard, unless it is forced."""
        run = yield from self._id(handle)
        if run is None:
            raise Unavailable(f"{handle.id}: its run does not show yet, and cannot be cancelled before it does")
        verb = "force-cancel" if self.force_cancel else "cancel"
        with suppress(Conflict, NotFound):  # over, or gone
            yield self._github.ask("POST", f"/actions/runs/{{run}}/{verb}", {"run": run})

    def find(self, key: str) -> Talk[JobHandle | None]:
        """The run whose name shows the key."""
        run = yield from self._named(key)
        return None if run is None else JobHandle(str(run["id"]))

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """The runs of one page of the list, the latest ones; jobs are asked for as ``status`` does."""
        params = {"event": "workflow_dispatch", "per_page": PAGE, "exclude_pull_requests": True}
        answer = yield from self._github.get("/actions/runs", params=params)
        runs = {str(run["id"]): run for run in members(answer, "workflow_runs")}
        found = {}
        for handle in handles:
            if handle.id in runs:
                found[handle.id] = yield from self._status(runs[handle.id])
        return found

    # -- what they are made of ------------------------------------------------------------------------------------

    @property
    def _github(self) -> GithubRepository:
        return GithubRepository(self.repository, self.base, self.api_version)

    @property
    def _inputs(self) -> Mapping[str, Any]:
        return self.inputs if isinstance(self.inputs, Mapping) else {}

    def _body(self, key: str) -> dict[str, Any]:
        inputs = {name: _text(value) for name, value in self._inputs.items()}
        if self.key_input is not None:
            inputs[self.key_input] = key
        body: dict[str, Any] = {"ref": self.ref}
        if inputs:
            body["inputs"] = inputs
        if self.run_details and self.api_version < _ALWAYS_NAMED:
            body["return_run_details"] = True
        return body

    def _status(self, run: Run) -> Talk[JobStatus]:
        if not self.details or state_of(run, self.accepts) is not JobState.RUNNING:
            return status_of(run, self.accepts)
        params = {"run": run["id"]}
        answer = yield from self._github.get("/actions/runs/{run}/jobs", params, {"per_page": PAGE})
        jobs = members(answer, "jobs")
        waits: list[Any] = []
        if waits_for_a_rule(run, jobs):
            answered = yield from self._github.get("/actions/runs/{run}/pending_deployments", params)
            waits = answered.json()
        return status_of(run, self.accepts, jobs, int(member(answer, "total_count")), waits)

    def _failed(self, run: Run) -> Talk[None]:
        jobs = yield from self._github.pages("/actions/runs/{run}/jobs", {"run": run["id"]}, "jobs")
        reason, failed, retryable = failure_of(run, jobs)
        log = ""
        if failed is not None:
            log = yield from self._log(failed)
        raise JobFailed(reason, excerpt=log, retryable=retryable)

    def _log(self, job: Job) -> Talk[str]:
        """The end of a job's log, where the gateway itself gives it.

        GitHub answers with a signed address on another host, to which no credential may go and which does not stand
        behind the gateway: it is not followed, and the reason names the job's page instead.
        """
        try:
            answer = yield self._github.ask("GET", "/actions/jobs/{job}/logs", {"job": job["id"]})
        except GatewayError:
            return ""
        return printable(answer.text).strip()[-LONGEST_TEXT:]

    def _run(self, handle: JobHandle) -> Talk[Run | None]:
        """The run; None while one that was accepted does not show."""
        if "key" not in handle.data:
            params = {"exclude_pull_requests": True}
            answer = yield from self._github.get("/actions/runs/{run}", {"run": handle.id}, params)
            run: Run = answer.json()
            return run
        named = yield from self._named(handle.data["key"])
        if named is None and clock.now() > handle.data["sent"] + _APPEARS:
            raise NotFound(
                f"GitHub took the dispatch, but no run of {self.workflow} has the key in its name after "
                f"{_APPEARS / 60:.0f} minutes: its run-name must show ${{{{ inputs.{self.key_input} }}}}"
            )
        return named

    def _id(self, handle: JobHandle) -> Talk[str | None]:
        if "key" not in handle.data:
            return handle.id
        run = yield from self._named(handle.data["key"])
        return None if run is None else str(run["id"])

    def _named(self, key: str) -> Talk[Run | None]:
        """The run whose name shows a key; None when none of those that may still matter does."""
        since = datetime.fromtimestamp(clock.now() - _LONGEST_RUN, UTC)
        wanted = {"event": "workflow_dispatch", "created": f">={since:%Y-%m-%d}", "exclude_pull_requests": True}
        path = "/actions/workflows/{workflow}/runs"
        for page in range(1, FEW_PAGES + 1):
            params = {**wanted, "per_page": PAGE, "page": page}
            answer = yield from self._github.get(path, {"workflow": self.workflow}, params)
            runs: list[Run] = members(answer, "workflow_runs")
            for run in runs:
                if key in str(run.get("display_title")) or key in str(run.get("name")):
                    return run
            if len(runs) < PAGE:
                return None
        raise Unavailable(
            f"the key is not among the latest {PAGE * FEW_PAGES} runs, and GitHub shows no more of them",
            retryable=False,
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _explained(error: Unprocessable) -> Unprocessable:
    """GitHub refuses a member of the body that it does not know."""
    if "return_run_details" not in error.excerpt:
        return error
    return Unprocessable(
        f"{error.reason}: this GitHub does not know return_run_details; set run_details=False and give key_input",
        method=error.method,
        url=error.url,
        status=error.status,
        attempts=error.attempts,
    )
