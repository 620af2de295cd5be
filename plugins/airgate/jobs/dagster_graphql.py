"""What Dagster's GraphQL is asked, and what its answers mean when they are refusals.

Checked against the schema of dagster-graphql 1.13.28. GraphQL answers 200 whatever came of it: a refusal is another
type of the answer's union.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airgate.client.message import Response
from airgate.jobs.talk import Ask, Talk
from airgate.policy.errors import (
    Conflict,
    GatewayError,
    NotFound,
    Rejected,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from airgate.policy.redaction import one_line

LAUNCH = """
mutation AirgateLaunch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on PythonError { className }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
TERMINATE = """
mutation AirgateTerminate($runId: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $runId, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunFailure { message run { status } }
    ... on Error { message }
    ... on PythonError { className }
  }
}
"""
RUNS = """
query AirgateRuns($filter: RunsFilter!, $limit: Int!) {
  runsOrError(filter: $filter, limit: $limit) {
    __typename
    ... on Runs { results { runId status } }
    ... on Error { message }
    ... on PythonError { className }
  }
}
"""
RUN = """
query AirgateRun($runId: ID!) {
  runOrError(runId: $runId) {
    __typename
    ... on Run {
      runId jobName status startTime endTime
      stats { __typename ... on RunStatsSnapshot { stepsSucceeded materializations } }
    }
    ... on Error { message }
    ... on PythonError { className }
  }
}
"""
EVENTS = """
query AirgateEvents($runId: ID!, $cursor: String) {
  logsForRun(runId: $runId, afterCursor: $cursor, limit: 1000) {
    __typename
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on MessageEvent { timestamp level stepKey eventType message }
        ... on ErrorEvent { error { message stack causes { message stack } } }
      }
    }
    ... on Error { message }
    ... on PythonError { className }
  }
}
"""
LOCATION = """
query AirgateLocation($name: String!) {
  workspaceLocationEntryOrError(name: $name) {
    __typename
    ... on WorkspaceLocationEntry { loadStatus locationOrLoadError { __typename ... on Error { message } } }
    ... on Error { message }
    ... on PythonError { className }
  }
}
"""

_KINDS: dict[str, type[GatewayError]] = {
    "UnauthorizedError": Unauthorized,
    "PipelineNotFoundError": NotFound,
    "RunNotFoundError": NotFound,
    "RunConflict": Conflict,
    "RunConfigValidationInvalid": Unprocessable,
    "InvalidSubsetError": Unprocessable,
    "InvalidStepError": Unprocessable,
    "InvalidOutputError": Unprocessable,
    "PresetNotFoundError": Unprocessable,
    "NoModeProvidedError": Unprocessable,
    "ConflictingExecutionParamsError": Unprocessable,
}
_UNREACHABLE = frozenset({"DagsterUserCodeUnreachableError", "DagsterUserCodeProcessError"})
"""The process with the user's code did not answer: it may soon."""
_LONGEST = 500


def ask(
    base: str, document: str, variables: Mapping[str, Any], *, reads: bool
) -> Talk[tuple[dict[str, Any], Response]]:
    """Ask one operation.

    Args:
        base: Path of Dagster behind the gateway.
        document: One of this module's.
        variables: Of the document.
        reads: Whether it has no effect.

    Returns:
        What the one field of the operation holds, with its ``__typename``, ``null`` for nothing, and the answer it
        stood in.

    Raises:
        Unprocessable: Dagster could not do anything with the operation.
    """
    body = {"query": document, "variables": dict(variables)}
    path = f"{base.rstrip('/')}/graphql"
    answer = yield Ask("POST", path, json=body, headers={"Accept": "application/json"}, expect=(200, 400), reads=reads)
    said = answer.json()
    data = said.get("data") if isinstance(said, dict) else None
    field = next(iter(data.values()), None) if isinstance(data, dict) else None
    if isinstance(field, dict) and "__typename" in field:
        return field, answer
    if isinstance(data, dict) and data and field is None and not said.get("errors"):
        return {"__typename": "null"}, answer
    errors = said.get("errors") if isinstance(said, dict) else None
    if not errors:
        raise answer.invalid("the answer is none of GraphQL")
    messages = "; ".join(str(error.get("message")) for error in errors)
    raise _error(Unprocessable, f"Dagster's GraphQL: {messages}", answer)


def refusal(said: Mapping[str, Any], answer: Response) -> GatewayError:
    """The error that a refusal means.

    Args:
        said: A member of a union that is no success.
        answer: What it stood in.
    """
    kind = str(said["__typename"])
    messages = [str(error.get("message")) for error in said.get("errors") or []] or [str(said.get("message") or "")]
    reason = f"Dagster says {kind}: {'; '.join(messages)}"
    if kind == "PythonError" and said.get("className") in _UNREACHABLE:
        return _error(Unavailable, reason, answer)
    return _error(_KINDS.get(kind, Rejected), reason, answer)


def _error(kind: type[GatewayError], reason: str, answer: Response) -> GatewayError:
    shown = one_line(reason)
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    return kind(shown, method=answer.method, url=answer.url, status=answer.status, request_id=answer.request_id)
