"""What GitHub's API says of a workflow run and its jobs, in the words of a job: pure reading."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from airgate.client.message import Response
from airgate.jobs.job import JobState, JobStatus
from airgate.policy.errors import GatewayError, RateLimited, Unauthorized
from airgate.policy.redaction import one_line, redact_text
from airgate.policy.retry import retry_after

Run = Mapping[str, Any]
Job = Mapping[str, Any]

_SHOWN = 3
"""Jobs that are named; a matrix has up to 256."""
_LIMIT_SECONDS = 60.0
"""GitHub asks to wait a minute at least where a secondary limit names no time."""
_BEFORE = frozenset({"queued", "requested", "pending"})
_RED = frozenset({"failure", "timed_out", "startup_failure", "action_required", "stale"})
_MAY_PASS = frozenset({"failure", "timed_out", "stale"})


def state_of(run: Run, accepts: Collection[str]) -> JobState:
    """Where a run is in its life.

    Args:
        run: As GitHub shows it.
        accepts: Conclusions that count as success.
    """
    if run.get("status") != "completed":
        return JobState.QUEUED if run.get("status") in _BEFORE else JobState.RUNNING
    if run.get("conclusion") in accepts:
        return JobState.SUCCEEDED
    return JobState.CANCELLED if run.get("conclusion") == "cancelled" else JobState.FAILED


def status_of(
    run: Run,
    accepts: Collection[str],
    jobs: Sequence[Job] = (),
    total: int = 0,
    waits: Sequence[Mapping[str, Any]] = (),
) -> JobStatus:
    """How a run stands.

    Args:
        run: As GitHub shows it.
        accepts: Conclusions that count as success.
        jobs: Its jobs, as many as were asked for; none where they were not.
        total: How many jobs it has.
        waits: Deployments that wait for a protection rule.
    """
    state = state_of(run, accepts)
    phase = str((run.get("conclusion") if state.over else None) or run.get("status") or "unknown")
    if not state.over:
        named = [*_waiting(waits), *_running(jobs)]
        phase = _listed(named) if named else phase
    percent = 100.0 if state is JobState.SUCCEEDED else _percent(jobs, total)
    return JobStatus(state, percent, phase, str(run.get("html_url") or ""))


def waits_for_a_rule(run: Run, jobs: Sequence[Job]) -> bool:
    """Whether a deployment waits for a person or a timer."""
    return run.get("status") == "waiting" or any(job.get("status") == "waiting" for job in jobs)


def failure_of(run: Run, jobs: Sequence[Job]) -> tuple[str, Job | None, bool]:
    """Why a run came to no success: the reason, the job that failed first, whether another run may succeed."""
    conclusion = str(run.get("conclusion") or "unknown")
    failed = [job for job in jobs if job.get("conclusion") in _RED]
    named = _listed([_named(job, _RED) for job in failed])
    reason = f"workflow run {run.get('id')} ended as {conclusion}" + (f": {named}" if named else "")
    if conclusion == "skipped":
        reason += ": no job's condition was met; put skipped into accepts if that is a success"
    first = failed[0] if failed else None
    page = (first or {}).get("html_url") or run.get("html_url")
    return f"{reason}; see {page}" if page else reason, first, conclusion in _MAY_PASS


def refusal(answer: Response, now: float) -> GatewayError:
    """The error of a 403, by which GitHub means a limit as well as a permission that is missing."""
    excerpt = one_line(redact_text(answer.text))[:300]
    seconds = _limited(answer, now)
    kind, reason = (
        (Unauthorized, "answered 403 Forbidden")
        if seconds is None
        else (RateLimited, "answered 403 Forbidden, for its rate limit")
    )
    return kind(
        reason,
        method=answer.method,
        url=answer.url,
        status=answer.status,
        attempts=answer.attempts,
        request_id=answer.headers.get("x-github-request-id"),
        retry_after=seconds,
        excerpt=excerpt,
    )


def limited(error: Unauthorized) -> RateLimited | None:
    """The limit that GitHub's refusal of a write stands for, None where it is a permission."""
    if "rate limit" not in error.excerpt.lower():
        return None
    return RateLimited(
        error.reason,
        method=error.method,
        url=error.url,
        status=error.status,
        attempts=error.attempts,
        retry_after=error.retry_after or _LIMIT_SECONDS,
        excerpt=error.excerpt,
    )


def _limited(answer: Response, now: float) -> float | None:
    """Seconds to wait (GitHub's "rate limits for the REST API"); None when it is not about a limit."""
    asked = retry_after(answer.headers, now)
    if asked is not None:
        return asked
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isascii() and reset.isdigit():
        return max(0.0, float(reset) - now)
    return _LIMIT_SECONDS if "rate limit" in answer.text.lower() else None


def _percent(jobs: Sequence[Job], total: int) -> float | None:
    """Share of the jobs that is done; of a job that runs, the share of its steps."""
    if not jobs:
        return None
    done = 0.0
    for job in jobs:
        steps = job.get("steps") or []
        if job.get("status") == "completed":
            done += 1.0
        elif steps:
            done += sum(step.get("status") == "completed" for step in steps) / len(steps)
    return round(100.0 * done / max(total, len(jobs)), 1)


def _waiting(waits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for wait in waits:
        environment = (wait.get("environment") or {}).get("name", "an environment")
        rule = "approval of the deployment" if wait.get("reviewers") else "the wait timer of the deployment"
        yield f"waiting for {rule} to {environment}"


def _running(jobs: Sequence[Job]) -> Iterator[str]:
    for job in jobs:
        if job.get("status") == "in_progress":
            yield _named(job, {"in_progress"}, "status")


def _named(job: Job, words: Collection[str], field: str = "conclusion") -> str:
    """The job, and its step that is of one of these words."""
    step = next((step for step in job.get("steps") or [] if step.get(field) in words), None)
    name = str(job.get("name"))
    return name if step is None else f"{name} / {step.get('name')}"


def _listed(names: Sequence[str]) -> str:
    shown = [one_line(name) for name in names[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
