"""What tests of the client share."""

from __future__ import annotations

import pytest

from tests.client.either_driver import KINDS, Driver


@pytest.fixture(params=KINDS)
def driver(request: pytest.FixtureRequest) -> Driver:
    """The one driver, then the other."""
    return Driver(request.param)
