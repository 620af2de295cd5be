"""What a command says: results to standard output, the rest to standard error, nothing secret on either."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, NoReturn

from airgate.policy.redaction import MASK, is_secret_name, one_line, printable, redact_text


class Voice:
    """Says things, with the values that must not be seen masked.

    ``secrets`` may grow while a command learns more of them.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = set(secrets)

    def say(self, text: str = "") -> None:
        """Say a result."""
        sys.stdout.write(f"{self.safe(text)}\n")
        sys.stdout.flush()

    def remark(self, text: str) -> None:
        """Say something about how the result came."""
        sys.stdout.flush()
        sys.stderr.write(f"{self.safe(text)}\n")
        sys.stderr.flush()

    def fail(self, text: str) -> NoReturn:
        """Say what went wrong and leave with exit code 1."""
        self.remark(text)
        raise SystemExit(1)

    def safe(self, text: str) -> str:
        """The text as it may be seen: without secrets, and without what could steer a terminal."""
        return redact_text(printable(text), self.secrets)


@contextmanager
def failing(voice: Voice) -> Iterator[None]:
    """End the command with the message alone of an error that a person can mend; others keep their traceback."""
    from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

    from airgate.policy.errors import GatewayError

    try:
        yield
    except (GatewayError, ValueError, OSError, AirflowNotFoundException) as error:
        voice.fail(f"failed: {error}")
    except AirflowException as error:
        voice.fail(f"failed: {type(error).__name__}: {error}")


@contextmanager
def log_lines(voice: Voice) -> Iterator[None]:
    """Say what is logged during a call, and keep it from being logged as well.

    The package logs through the standard library, its hooks through Airflow's structlog; the latter writes to standard
    output outside of a task. Of the hooks' lines only warnings are said: the rest is in the report.
    """
    import structlog

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            voice.remark(f"  {one_line(record.getMessage())}")

    def speak(_: Any, level: str, event: MutableMapping[str, Any]) -> str:
        if level not in {"debug", "info"}:
            text, args = str(event.pop("event", "")), event.pop("positional_args", ())
            rest = "".join(f" {name}={value}" for name, value in event.items())
            voice.remark(f"  {one_line(text % args if args else text)}{one_line(rest)}")
        raise structlog.DropEvent

    logger, handler, structured = logging.getLogger("airgate"), Lines(), structlog.get_config()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    structlog.configure(**{**structured, "processors": [speak]})
    try:
        yield
    finally:
        structlog.configure(**structured)
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def masked(value: Any) -> Any:
    """A JSON value with the texts masked whose names say that they are secret."""
    if isinstance(value, dict):
        return {
            name: MASK if isinstance(item, str) and is_secret_name(name) else masked(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value
