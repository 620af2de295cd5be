"""The pytest fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgate.testing.gateway import FakeGateway


@pytest.fixture
def fake_gateway() -> Iterator[FakeGateway]:
    """A fake gateway behind the connection ``gateway_default``; a request that was not scripted fails the test."""
    with FakeGateway() as gateway:
        yield gateway
