"""A server of these tests' own: they kill its database and block its commits."""

from collections.abc import Iterator

import pytest

from tests.harness import server as servers
from tests.harness.server import Server


@pytest.fixture(scope="package")
def own_server() -> Iterator[Server]:
    """A real service that nobody else uses."""
    with servers.running() as running:
        yield running
