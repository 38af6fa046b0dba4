"""Clients whose every answer is held against the contract, in all tests of the API."""

from collections.abc import AsyncIterator, Mapping

import pytest

from service import app
from service.kernel import database, embedded
from tests.api.staff import Staff
from tests.conftest import ClientOf
from tests.harness import contract, people, platform
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant

ROUTES = app.declared()


class CheckedClient(Client):
    """A client that fails the test at an answer its route does not declare."""

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send, wait, and check."""
        response = await super().request(method, path, body, headers)
        route = contract.route_of(ROUTES, method, path.partition("?")[0])
        faults = (
            contract.faults(route, response) if path not in ("/metrics", "/openapi.json") else []
        )
        assert not faults, f"{method} {path}: {faults} {response.body[:600]!r}"
        return response


class AnyoneClient(CheckedClient):
    """Whoever a route is for: the merchant's own key, its owner, or one who visits merchants."""

    def __init__(self, server: Server, api_key: str, owner: str, visitor: str) -> None:
        super().__init__(server.host, server.port, api_key)
        self._api_key, self._owner, self._visitor = api_key, owner, visitor

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send as one of them."""
        route = contract.route_of(ROUTES, method, path.partition("?")[0])
        self._token = self._api_key
        if route is not None and people.is_for_people(route):
            self._token = self._visitor if route.scope == "visits:write" else self._owner
        return await super().request(method, path, body, headers)


async def anyone_of(server: Server, tenant: Tenant) -> AnyoneClient:
    """A client for every route; the merchant has an owner from then on."""
    owner = await people.owner_of(server, tenant.merchant_id)
    visitor = await platform.hired(server, "platform_support")
    return AnyoneClient(server, tenant.merchant_key, owner.token, visitor.token)


@pytest.fixture(scope="session")
def client_of(server: Server) -> ClientOf:
    """Make a checked client: `client_of(token)`; one connection, one request at a time."""

    def make(token: str = "", timeout_s: float = 30.0) -> CheckedClient:
        return CheckedClient(server.host, server.port, token, timeout_s)

    return make


@pytest.fixture
async def other(postgres: embedded.Server, client_of: ClientOf) -> Tenant:
    """Another merchant, whose objects must look to the first as if they were not there."""
    return await tenants.make(postgres.app_dsn, client_of, stores_count=2)


@pytest.fixture(name="staff")
async def _staff(
    server: Server, postgres: embedded.Server, tenant: Tenant, client_of: ClientOf
) -> AsyncIterator[Staff]:
    """People of the tenant; `boss` is an owner who is signed in."""
    pool, keys = await database.open_pool(postgres.app_dsn, 2), people.keys_of(server.data_dir)
    owner = await people.hire(pool, keys, tenant.merchant_id, "owner")
    async with client_of(owner.token) as boss, client_of() as guest:
        yield Staff(postgres, tenant, pool, keys, boss, guest, client_of)
    await pool.close()
