"""Reads the status documents that services write, each in its own words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from airgate.client.message import Response
from airgate.jobs.job import JobState
from airgate.policy.json_faults import NOT_JSON
from airgate.policy.redaction import one_line

USUAL: Final[Mapping[JobState, str]] = {
    JobState.SUCCEEDED: "succeeded success successful completed complete done finished ok passed",
    JobState.FAILED: "failed failure failing error errored faulted timedout timeout expired rejected crashed invalid",
    JobState.CANCELLED: "cancelled canceled aborted terminated stopped killed revoked",
    JobState.QUEUED: "queued enqueued pending accepted submitted created waiting scheduled notstarted new",
    JobState.RUNNING: "running inprogress started processing executing active working",
}
"""What services call a state; case, spaces, hyphens and underscores do not count."""

_PUNCTUATION = re.compile(r"[\s_-]+")
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%?\s*")


def words_of(own: Mapping[JobState, Sequence[str]]) -> dict[str, JobState]:
    """What each word means: the usual ones, and the service's own, which go first.

    Raises:
        ValueError: One of the own words is given two meanings.
    """
    words = {word: state for state, usual in USUAL.items() for word in usual.split()}
    given: dict[str, JobState] = {}
    for state, names in own.items():
        if isinstance(names, str):
            raise ValueError(f"{state.value} must be a list of words, not the text {names!r}")  # noqa: TRY004
        for name in names:
            if given.setdefault(_plain(name), state) is not state:
                raise ValueError(f"{state.value}: {name!r} is among the words for {given[_plain(name)].value} too")
    return words | given


def state_of(word: Any, words: Mapping[str, JobState]) -> JobState | None:
    """The state that a word means, None for one that is not known."""
    return words.get(_plain(word))


def search(name: str, expression: str, document: Any) -> Any:
    """What a JMESPath expression finds; None for an empty one.

    Raises:
        ValueError: A function in the expression does not take what the document holds.
    """
    if not expression:
        return None
    import jmespath.exceptions

    try:
        return compiled(name, expression).search(document)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"{name} {expression!r} does not fit the answer ({one_line(str(error))})") from None


@lru_cache(maxsize=256)
def compiled(name: str, expression: str) -> Any:
    """The expression, ready to search with.

    Raises:
        ValueError: It is none.
    """
    # Imported here, as every parse of a DAG file would pay for it otherwise.
    import jmespath
    import jmespath.exceptions

    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"{name}: {expression!r} is not a JMESPath expression ({one_line(str(error))})") from None


def document_of(answer: Response) -> Any:
    """The answer's JSON, None where it has none."""
    try:
        return msgspec.json.decode(answer.bytes) if answer.bytes.strip() else None
    except NOT_JSON:
        return None


def text_of(value: Any) -> str:
    """A value as a line of text."""
    if value is None:
        return ""
    return one_line(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def percent_of(value: Any) -> float | None:
    """A number from 0 to 100, also where it is written as text; None for anything else."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value)):
        value = float(found[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return min(100.0, max(0.0, float(value)))


def _plain(word: Any) -> str:
    return _PUNCTUATION.sub("", str(word).lower())
