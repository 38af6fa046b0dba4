"""A merchant's people, as tests have them."""

from typing import Any

from msgspec import Struct

from service.kernel import database, embedded
from service.ledger.door import Keys
from tests.conftest import ClientOf
from tests.harness import people
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant


class Staff(Struct):
    """A merchant's people, and how to have more of them."""

    postgres: embedded.Server
    tenant: Tenant
    pool: database.Pool
    keys: Keys
    boss: Client
    guest: Client
    client_of: ClientOf

    async def hired(self, role: str, node_id: str | None = None, **more: bool) -> people.Person:
        """Somebody who is signed in."""
        return await people.hire(
            self.pool, self.keys, self.tenant.merchant_id, role, node_id, **more
        )

    async def sign_in(
        self, person: people.Person, password: str = people.PASSWORD, **more: str
    ) -> Response:
        """As that person would."""
        body = {"merchant_id": self.tenant.merchant_id, "email": person.email, **more}
        return await self.guest.post("/v1/sessions", {**body, "password": password})

    async def invited(self, email: str, role: str = "cashier") -> dict[str, Any]:
        """The answer to an invitation to the first store."""
        body = {"email": email, "role": role, "node_id": self.tenant.store_ids[0]}
        answer = await self.boss.post("/v1/users", body)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json()
        return found
