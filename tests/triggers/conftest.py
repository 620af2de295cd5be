"""The connection that triggers look up."""

from tests.operators.conftest import context, installation  # noqa: F401
