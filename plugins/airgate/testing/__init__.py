"""For tests of one's own DAGs: a gateway that answers as it is told, without a network and without waiting.

Use ``FakeGateway`` by itself, or its pytest fixtures: put ``pytest_plugins = ["airgate.testing"]`` into the topmost
``conftest.py``. (PYTEST_DONT_REWRITE: there is nothing here for pytest to rewrite.)
"""

from airgate.testing.answers import Answer, Scripted, cut, json_answer, rate_limited, refused, timeout, unavailable
from airgate.testing.gateway import FakeGateway, Route, UnexpectedRequest
from airgate.testing.recorded import RecordedRequest
from airgate.testing.time import InstantTime, instant_time

__all__ = [
    "Answer",
    "FakeGateway",
    "InstantTime",
    "RecordedRequest",
    "Route",
    "Scripted",
    "UnexpectedRequest",
    "cut",
    "instant_time",
    "json_answer",
    "rate_limited",
    "refused",
    "timeout",
    "unavailable",
]

try:
    from airgate.testing.fixtures import fake_gateway
except ModuleNotFoundError as missing:  # without pytest there are no fixtures, and no need of them
    if missing.name != "pytest":
        raise
else:
    __all__ += ["fake_gateway"]
