"""Executions of AWS Step Functions, STANDARD state machines.

Checked against the service model ``stepfunctions/2016-11-23`` (botocore) and its API reference: StartExecution,
DescribeExecution, StopExecution, GetExecutionHistory, DescribeStateMachine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from airgate.jobs.aws_json import AwsJson
from airgate.jobs.job import LONGEST_TEXT, JobHandle, JobState, JobStatus
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Talk
from airgate.policy.errors import Conflict, GatewayError, JobFailed, NotFound, Unauthorized, Unavailable, Unprocessable

_ARN = re.compile(
    r"(?P<start>arn:aws[a-z-]*:states:[a-z0-9-]+:\d{12}:)stateMachine:(?P<machine>[^:/\s]{1,80})(:[^:/\s]+)?"
)
_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,48}")
_STATES = {
    "SUCCEEDED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
    "TIMED_OUT": JobState.FAILED,
    "ABORTED": JobState.CANCELLED,
}
_LARGEST_INPUT = 262_144
_LAST_EVENTS = 20
TRANSIENT = (
    "States.Timeout",
    "States.HeartbeatTimeout",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)
"""Errors that AWS advises to retry: another execution may succeed."""


@dataclass
class StepFunctionsExecution(JobProtocol):
    """One execution of a state machine; its output is the result.

    The execution's name is made of the task's key, and a name is good for one execution in the 90 days after its end:
    a submission that is repeated finds the execution of the first one.
    """

    state_machine_arn: str = ""
    """Of a STANDARD state machine, or of a version or alias of one."""
    input: Any = field(default_factory=dict, repr=False)
    """JSON; a text is taken as JSON that is written already."""
    base: str = ""
    """Path of the Step Functions API behind the gateway."""
    name_prefix: str = ""
    """Of the execution's name, for people: letters, digits, ``-`` and ``_``."""
    retry_errors: Sequence[str] = TRANSIENT
    """Names of errors after which another execution may succeed; ``*`` stands for any characters."""

    template_fields: ClassVar[Sequence[str]] = ("state_machine_arn", "input", "base", "name_prefix")
    watched: ClassVar[Sequence[str]] = ("base",)
    sought: ClassVar[Sequence[str]] = ("state_machine_arn", "name_prefix")

    @property
    def unique(self) -> bool:
        """The name of an execution is unique."""
        return True

    @property
    def finds(self) -> bool:
        """The name of an execution follows from the key."""
        return True

    def problem(self) -> str | None:
        """What keeps this from working."""
        arn = self.state_machine_arn
        if "{{" not in arn and not _ARN.fullmatch(arn):
            return (
                f"state_machine_arn must be one such as arn:aws:states:eu-central-1:123456789012:stateMachine:NAME, "
                f"with a version or an alias behind it or not; {arn!r} is not"
            )
        if "{{" not in self.name_prefix and not _PREFIX.fullmatch(self.name_prefix):
            return f"name_prefix must be at most 48 letters, digits, '-' and '_', not {self.name_prefix!r}"
        if isinstance(self.retry_errors, str):
            return "retry_errors must be a list of names, not one text"
        try:
            self._input()
        except ValueError as error:
            return str(error)
        return None

    def submit(self, key: str) -> Talk[JobHandle]:
        """Start the execution, or find that the same submission started it before."""
        yield from self._refuse_express()
        execution = {"stateMachineArn": self.state_machine_arn, "name": self._name(key), "input": self._input()}
        try:
            started = yield from self._service.call("StartExecution", execution, reads=False)
        except Conflict as conflict:
            return (yield from self._ours(key, conflict))
        arn = started.get("executionArn")
        return JobHandle(arn if isinstance(arn, str) and arn else self._execution_arn(key))

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """What DescribeExecution says."""
        said = yield from self._describe(handle.id)
        word = str(said.get("status", ""))
        return JobStatus(_STATES.get(word, JobState.RUNNING), phase=word.lower(), message=_why(said))

    def result(self, handle: JobHandle) -> Talk[Any]:
        """The execution's output.

        Raises:
            JobFailed: With error and cause, and the last events of its history.
        """
        said = yield from self._describe(handle.id)
        word = str(said.get("status", ""))
        if _STATES.get(word) is JobState.SUCCEEDED:
            output = said.get("output")
            return None if output is None else json.loads(output)
        try:
            events = yield from self._last_events(handle.id)
        except GatewayError as error:  # the reason is known without it
            events = f"(no history: {error.reason})"
        raise JobFailed(
            f"execution {handle.id} ended as {word}" + (f": {_why(said)}" if _why(said) else ""),
            excerpt=events[-LONGEST_TEXT:],
            retryable=self._may_pass(word, str(said.get("error") or "")),
        )

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """StopExecution. Error and cause stay empty: with them AWS would need the machine's key to encrypt them."""
        try:
            yield from self._service.call("StopExecution", {"executionArn": handle.id}, reads=False)
        except NotFound:
            return

    def find(self, key: str) -> Talk[JobHandle | None]:
        """The execution of the key's name."""
        arn = self._execution_arn(key)
        try:
            yield from self._describe(arn)
        except NotFound:
            return None
        return JobHandle(arn)

    @property
    def _service(self) -> AwsJson:
        return AwsJson("AWSStepFunctions", self.base)

    def _describe(self, arn: str) -> Talk[dict[str, Any]]:
        return self._service.call("DescribeExecution", {"executionArn": arn})

    def _refuse_express(self) -> Talk[None]:
        """Refuse what could be started and never seen again."""
        # A version or an alias has the type of its machine, which alone is described by every kind of permission.
        machine = ":".join(self.state_machine_arn.split(":")[:7])
        try:
            said = yield from self._service.call("DescribeStateMachine", {"stateMachineArn": machine})
        except Unauthorized:
            return  # states:DescribeStateMachine is not granted; StartExecution may be
        if said.get("type") == "EXPRESS":
            raise Unprocessable(
                f"state_machine_arn: {machine} is EXPRESS, whose executions can neither be looked at nor stopped; take "
                "a STANDARD one, or call StartSyncExecution with GatewayOperator"
            )

    def _ours(self, key: str, conflict: Conflict) -> Talk[JobHandle]:
        """The execution that holds the name, if it is the one that is asked for."""
        arn = self._execution_arn(key)
        try:
            said = yield from self._describe(arn)
        except NotFound:  # what is described lags behind what is started
            raise Unavailable(f"{conflict.reason}; it cannot be described yet", retryable=True) from conflict
        held = said.get("input")
        if held is not None and json.loads(held) != json.loads(self._input()):
            raise Conflict(
                f"execution {arn} was started with another input, and its name is taken for 90 days after its end; let "
                "every try build the same input, or give the task another epoch",
                method=conflict.method,
                url=conflict.url,
                status=conflict.status,
            )
        return JobHandle(arn)

    def _last_events(self, arn: str) -> Talk[str]:
        """The last lines of the history, oldest first. Inputs and outputs are left out: they may hold anything."""
        asked = {"executionArn": arn, "reverseOrder": True, "maxResults": _LAST_EVENTS, "includeExecutionData": False}
        said = yield from self._service.call("GetExecutionHistory", asked)
        events = sorted(said.get("events") or [], key=lambda event: event.get("id", 0))
        return "\n".join(_line(event) for event in events[-_LAST_EVENTS:])

    def _may_pass(self, word: str, error: str) -> bool:
        if word == "TIMED_OUT":
            error = error or "States.Timeout"
        return word != "ABORTED" and any(fnmatchcase(error, name) for name in self.retry_errors)

    def _name(self, key: str) -> str:
        return f"{self.name_prefix}{key}"

    def _execution_arn(self, key: str) -> str:
        """The ARN that follows from machine and name.

        Raises:
            ValueError: ``state_machine_arn`` is none.
        """
        found = _ARN.fullmatch(self.state_machine_arn)
        if found is None:
            raise ValueError(self.problem())
        return f"{found['start']}execution:{found['machine']}:{self._name(key)}"

    def _input(self) -> str:
        """The input as JSON text.

        Raises:
            ValueError: It is none.
        """
        if isinstance(self.input, str):
            text = self.input
            if "{{" in text:
                return text
            try:
                json.loads(text)
            except ValueError as error:
                raise ValueError(f"input is a text that is not JSON ({error}); give a dict") from None
        else:
            try:
                text = json.dumps(self.input, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ValueError(f"input must be JSON: {error}") from None
        if (size := len(text.encode())) > _LARGEST_INPUT:
            raise ValueError(f"input is {size} bytes, and AWS takes {_LARGEST_INPUT}; pass a reference to S3 instead")
        return text


def _why(said: Mapping[str, Any]) -> str:
    return ": ".join(str(said[name]) for name in ("error", "cause") if said.get(name))


def _line(event: Mapping[str, Any]) -> str:
    """One event: its type, the state, and what went wrong."""
    details: dict[str, Any] = next(
        (value for name, value in event.items() if name.endswith("EventDetails") and isinstance(value, dict)), {}
    )
    named = details.get("name") or details.get("state") or details.get("resource") or ""
    parts = [str(event.get("id", "?")), str(event.get("type", "?")), str(named), _why(details)]
    return " ".join(part for part in parts if part)
