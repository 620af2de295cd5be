"""Runs of a Dagster job, through the GraphQL API of its webserver.

Checked against dagster-webserver 1.13.28 with the daemon and the queue of runs that Dagster has by default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airgate.client.message import Response
from airgate.jobs import dagster_graphql as graphql
from airgate.jobs.dagster_events import last_events
from airgate.jobs.job import JobHandle, JobState, JobStatus
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Talk
from airgate.policy.errors import GatewayError, JobFailed, NotFound, Unavailable
from airgate.policy.redaction import one_line

KEY_TAG = "airgate/key"
"""Tag of a run that holds the key of its submission."""
_NO_RETRIES = {"dagster/max_retries": "0"}
"""Dagster's daemon would start another run for a failed one, of which nobody here would know."""
_STATES = {
    "QUEUED": JobState.QUEUED,
    "NOT_STARTED": JobState.QUEUED,
    "SUCCESS": JobState.SUCCEEDED,
    "FAILURE": JobState.FAILED,
    "CANCELED": JobState.CANCELLED,
}
_NOT_YET = frozenset({"NOT_STARTED", "STARTING"})
"""States of which Dagster terminates no run safely: nothing of the job is executed yet."""
_ALL_ASSETS = "__ASSET_JOB"
_MOST_RUNS = 100


@dataclass
class DagsterRun(JobProtocol):
    """One run of a job, or one materialization of assets.

    Dagster draws the ids of runs itself, so the key stands in a tag of the run. A submission whose answer was lost is
    looked for by that tag before it is sent again.
    """

    location: str = ""
    """Name of the code location."""
    job: str = ""
    """Name of the job; empty for ``assets`` that belong to no job in particular."""
    run_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Of the run, as JSON."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of the run."""
    assets: Sequence[str] = ()
    """Keys of the assets to materialize, such as ``raw/orders``; empty for all of the job."""
    op_selection: Sequence[str] = ()
    """Which ops to execute, in Dagster's selection syntax; empty for all."""
    repository: str = "__repository__"
    """Name of the repository; the default is the one of ``Definitions``."""
    force: bool = False
    """Whether a cancelled run is marked as cancelled at once, although its process may still clean up."""
    retry_failed: bool = True
    """Whether a task with retries left submits another run after one that failed."""
    base: str = ""
    """Path of the webserver behind the gateway."""

    template_fields: ClassVar[Sequence[str]] = (
        "location",
        "job",
        "run_config",
        "tags",
        "assets",
        "op_selection",
        "repository",
        "base",
    )
    watched: ClassVar[Sequence[str]] = ("base", "force", "retry_failed")
    batch: ClassVar[int] = _MOST_RUNS

    @property
    def finds(self) -> bool:
        """A run has the key as a tag."""
        return True

    def problem(self) -> str | None:
        """What keeps this from working."""
        if not self.location:
            return "location must be the name of a code location of Dagster"
        if not self.job and not self.assets:
            return "job must be the name of a job, or assets the keys of assets"
        for name in ("assets", "op_selection"):
            if isinstance(getattr(self, name), str):
                return f"{name} must be a list of texts, not one text"
        config: object = self.run_config
        if not isinstance(config, Mapping):
            return f"run_config must be a dict, not a {type(config).__name__}"
        try:
            json.dumps(config, allow_nan=False)
        except (TypeError, ValueError) as error:
            return f"run_config must be JSON: {error}"
        wrong = [name for name, value in self.tags.items() if not isinstance(value, str) or name == KEY_TAG]
        return f"tags: {wrong[0]!r} must be another name, with a text as value" if wrong else None

    def submit(self, key: str) -> Talk[JobHandle]:
        """Launch the run. Where Dagster failed on the way, the run is looked for: it may have been made already."""
        try:
            said, answer = yield from graphql.ask(self.base, graphql.LAUNCH, {"params": self._params(key)}, reads=False)
        except GatewayError as failed:
            if failed.status != 200:  # nothing came back, or the operation itself was refused
                raise
            error = failed
        else:
            if said["__typename"] == "LaunchRunSuccess":
                return JobHandle(said["run"]["runId"], {"job": self.job})
            error = graphql.refusal(said, answer)
            if isinstance(error, NotFound):
                yield from self._see_that_it_is_loaded(error)
            if said["__typename"] != "PythonError":
                raise error
        if (found := (yield from self.find(key))) is not None:
            return found
        raise error

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """The run's status."""
        found = yield from self.statuses([handle])
        if handle.id not in found:
            raise NotFound(f"Dagster knows no run {handle.id}", status=404)
        return found[handle.id]

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """The statuses of many runs by one query."""
        runs = yield from self._runs({"runIds": [handle.id for handle in handles]})
        return {run["runId"]: _status(str(run["status"])) for run in runs}

    def result(self, handle: JobHandle) -> Talk[Any]:
        """Job, status, begin and end (Unix time), counts of steps that succeeded and of materializations.

        Raises:
            JobFailed: With the steps that failed and the last events of the run.
        """
        run, answer = yield from graphql.ask(self.base, graphql.RUN, {"runId": handle.id}, reads=True)
        if run["__typename"] != "Run":
            raise graphql.refusal(run, answer)
        state = _status(str(run["status"])).state
        if state is JobState.SUCCEEDED:
            stats = run.get("stats") or {}
            return {
                "run_id": run["runId"],
                "job": run["jobName"],
                "status": run["status"],
                "start_time": run["startTime"],
                "end_time": run["endTime"],
                "steps_succeeded": stats.get("stepsSucceeded"),
                "materializations": stats.get("materializations"),
            }
        what = f"Dagster run {handle.id} of job {run['jobName']}"
        try:
            why, events = yield from last_events(self.base, handle.id)
        except GatewayError as error:  # that it failed is known without them
            why, events = f"(its events could not be read: {error.reason})", ""
        if state is JobState.CANCELLED:
            raise JobFailed(f"{what} was cancelled", excerpt=events)
        raise JobFailed(f"{what} failed: {why}", excerpt=events, retryable=self.retry_failed)

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """Terminate the run: its process is interrupted and cleans up, and the run is CANCELED once it has ended."""
        said, answer = yield from self._terminate(handle, force=self.force)
        if said["__typename"] == "TerminateRunFailure" and _word(said) in _NOT_YET:
            # Marked as cancelled, the process that just starts will execute nothing.
            said, answer = yield from self._terminate(handle, force=True)
        gone = said["__typename"] in {"TerminateRunSuccess", "RunNotFoundError"}
        if gone or _word(said) == "CANCELING" or _status(_word(said)).over:
            return
        raise graphql.refusal(said, answer)

    def find(self, key: str) -> Talk[JobHandle | None]:
        """The oldest run with the key's tag: one that a person executes again has the tags of the first."""
        runs = yield from self._runs({"tags": [{"key": KEY_TAG, "value": key}]})
        return JobHandle(runs[-1]["runId"], {"job": self.job}) if runs else None

    def _params(self, key: str) -> dict[str, Any]:
        selector: dict[str, Any] = {
            "repositoryLocationName": self.location,
            "repositoryName": self.repository,
            "jobName": self.job or _ALL_ASSETS,
        }
        if self.assets:
            selector["assetSelection"] = [{"path": asset.split("/")} for asset in self.assets]
        if self.op_selection:
            selector["solidSelection"] = list(self.op_selection)
        tags = {**_NO_RETRIES, **self.tags, KEY_TAG: key}
        return {
            "selector": selector,
            "runConfigData": dict(self.run_config),
            "executionMetadata": {"tags": [{"key": name, "value": value} for name, value in tags.items()]},
        }

    def _runs(self, chosen: Mapping[str, Any]) -> Talk[list[dict[str, Any]]]:
        """Runs, the newest first."""
        variables = {"filter": chosen, "limit": _MOST_RUNS}
        said, answer = yield from graphql.ask(self.base, graphql.RUNS, variables, reads=True)
        if said["__typename"] != "Runs":
            raise graphql.refusal(said, answer)
        return list(said["results"])

    def _terminate(self, handle: JobHandle, *, force: bool) -> Talk[tuple[dict[str, Any], Response]]:
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        variables = {"runId": handle.id, "policy": policy}
        return (yield from graphql.ask(self.base, graphql.TERMINATE, variables, reads=False))

    def _see_that_it_is_loaded(self, error: GatewayError) -> Talk[None]:
        """Tell a job that is not there from one whose code location is not there yet.

        Raises:
            Unavailable: The code location is still loaded, or failed to load.
        """
        said, _ = yield from graphql.ask(self.base, graphql.LOCATION, {"name": self.location}, reads=True)
        load = said.get("locationOrLoadError") or {}
        if said.get("loadStatus") == "LOADING" or load.get("__typename") == "PythonError":
            why = one_line(str(load.get("message") or "it is being loaded"))[:300]
            raise Unavailable(f"code location {self.location} of Dagster is not there: {why}") from error


def _status(word: str) -> JobStatus:
    plain = word == "STARTED" or word in _STATES.keys() - _NOT_YET
    return JobStatus(_STATES.get(word, JobState.RUNNING), phase="" if plain else one_line(word).lower())


def _word(said: Mapping[str, Any]) -> str:
    """The status of the run in a refusal to terminate it."""
    return str((said.get("run") or {}).get("status") or "")
