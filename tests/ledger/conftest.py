"""One server for the ledger's tests; its database `kafang` is migrated and then only cloned."""

from collections.abc import AsyncIterator

import pytest

from service.kernel import embedded
from service.kernel.migrations import migrate
from tests.ledger import scratch


@pytest.fixture(scope="session")
async def original() -> AsyncIterator[embedded.Server]:
    """A migrated, empty database to clone; nobody stays connected to it."""
    with embedded.temporary() as server:
        await migrate(server.owner_dsn)
        yield server


@pytest.fixture(scope="session")
async def database(original: embedded.Server) -> AsyncIterator[embedded.Server]:
    """A database that tests share; each takes a merchant of its own."""
    async with scratch.clone(original) as cloned:
        yield cloned
