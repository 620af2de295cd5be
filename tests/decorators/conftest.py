"""The context and the connection of decorated tasks."""

from tests.operators.conftest import context, installation  # noqa: F401
