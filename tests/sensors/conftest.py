"""The context and the connection of sensors."""

from tests.operators.conftest import context, installation  # noqa: F401
