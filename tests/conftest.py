"""One real server for the session, a fresh merchant for each test, the invariants after each."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from service.kernel import embedded
from service.ledger import invariants
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import Tenant

ClientOf = Callable[..., Client]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A real service: two workers over an embedded PostgreSQL of its own."""
    with servers.running() as running:
        yield running


@pytest.fixture(scope="session")
def postgres(server: Server) -> embedded.Server:
    """The server's PostgreSQL: `app_dsn` as the service connects, `owner_dsn`, `admin_dsn`."""
    return server.postgres


@pytest.fixture(scope="session")
def client_of(server: Server) -> ClientOf:
    """Make a client: `client_of(token)`; one connection, one request at a time."""

    def make(token: str = "", timeout_s: float = 30.0) -> Client:
        return Client(server.host, server.port, token, timeout_s)

    return make


@pytest.fixture
async def tenant(postgres: embedded.Server, client_of: ClientOf) -> AsyncIterator[Tenant]:
    """A fresh merchant with two stores; after the test its ledger must be whole."""
    made = await tenants.make(postgres.app_dsn, client_of, stores_count=2)
    yield made
    await require_whole(postgres, made.merchant_id)


@pytest.fixture
async def pos(tenant: Tenant, client_of: ClientOf) -> AsyncIterator[Client]:
    """The till of the tenant's first store."""
    async with client_of(tenant.pos_keys[0]) as client:
        yield client


@pytest.fixture
async def office(tenant: Tenant, client_of: ClientOf) -> AsyncIterator[Client]:
    """The merchant's own key."""
    async with client_of(tenant.merchant_key) as client:
        yield client


async def require_whole(postgres: embedded.Server, merchant_id: str) -> None:
    """Fail with every breached invariant of a merchant."""
    report = await invariants.verify(postgres.owner_dsn, [merchant_id])
    assert not report.breaches, report.text()
