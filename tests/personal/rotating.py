"""New keys for everybody while they are read and changed: every read finds what is known."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from service import upkeep
from service.kernel import database
from service.kernel.keyring import Keyring
from service.ledger.door import Keys
from service.ledger.reading import Reading
from service.ledger.terms import Merchant
from service.personal import operations as personal
from service.personal import rotation, store
from service.settings import Settings, keyring_of, with_kept_secrets
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server
from tests.personal import people

# No request under way takes longer here.
SETTLED_S = 1.0


class Run(Struct):
    """What a rotation did, and what was read and changed meanwhile."""

    members: int
    seconds: float
    resealed: int = 0
    reads: int = 0
    changes: int = 0
    failures: list[str] = []
    left_behind: int = 0
    breaches: int = 0


def settings_of(server: Server) -> Settings:
    """Those of a running service."""
    settings = Settings(data_dir=str(server.data_dir))
    return with_kept_secrets(settings)


@asynccontextmanager
async def ring(settings: Settings, dsn: str) -> AsyncIterator[Keyring]:
    """The service's keys, in this process."""
    keyring = keyring_of(settings, dsn)
    try:
        yield keyring
    finally:
        await keyring.close()


async def run(server: Server, members: int) -> Run:
    """Make members, read and change them, and rotate meanwhile; then destroy the older keys."""
    settings, postgres = settings_of(server), server.postgres
    keys = Keys.of(settings.secret())

    def client_of(token: str) -> Client:
        return Client(server.host, server.port, token)

    tenant = await tenants.make(postgres.app_dsn, client_of)
    merchant_id, done = tenant.merchant_id, asyncio.Event()
    async with ring(settings, postgres.owner_dsn) as keyring:
        await people.make(postgres, keyring, keys, merchant_id, members)
        pool = await database.open_pool(postgres.app_dsn, 4)
        begun, found = time.monotonic(), Run(members, 0.0)
        readers = [_read(keyring, keys.phone, pool, merchant_id, found, done) for _ in range(2)]
        async with client_of(tenant.merchant_key) as office:
            load = asyncio.gather(*readers, _change(office, found, done))
            try:
                rotated = await rotation.rotate_all(keyring, pool, [merchant_id], SETTLED_S)
                found.resealed = rotated.members
            finally:
                found.seconds = time.monotonic() - begun
                done.set()
                await load
        async with database.tenant(pool, merchant_id) as connection:
            found.left_behind = len(await store.sealed(connection, merchant_id, "", 2, 1))
        await pool.close()
    found.breaches = len(await upkeep.breaches(postgres.owner_dsn, settings, merchant_id))
    return found


async def _read(
    keyring: Keyring,
    index_key: bytes,
    pool: database.Pool,
    merchant_id: str,
    found: Run,
    done: asyncio.Event,
) -> None:
    """Look at anybody, as the route does it."""
    while not done.is_set():
        who = people.somebody(random.randrange(found.members))
        async with database.tenant(pool, merchant_id) as connection:
            merchant = await database.one(connection, "tenant.merchant", Merchant, merchant_id)
            assert merchant is not None
            tenant = Reading(connection, merchant)
            held = await store.held(tenant, who.member_id)
            assert held is not None
            try:
                key = await keyring.of(merchant_id, who.member_id, held.key_no or 0)
                known = personal.known_of(index_key, held, key)
            except Exception as error:
                found.failures.append(f"{who.member_id}: {error!r}")
                continue
        if known["phone"] != who.phone:
            found.failures.append(f"{who.member_id}: another phone")
        found.reads += 1


async def _change(office: Client, found: Run, done: asyncio.Event) -> None:
    """Give people other names meanwhile, and make new ones, over HTTP."""
    while not done.is_set():
        new = {"phone": f"139{found.changes:08d}", "full_name": "新客"}
        made = await office.post("/v1/members", new)
        if made.status != 201:
            found.failures.append(f"new: {made.status} {made.body!r}")
        who = people.somebody(random.randrange(found.members))
        seen = await office.get(f"/v1/members/{who.member_id}")
        body = {"full_name": who.name + "改", "version": seen.json()["version"]}
        answer = await office.post(f"/v1/members/{who.member_id}/name", body)
        if answer.status != 200:
            found.failures.append(f"{who.member_id}: {answer.status} {answer.body!r}")
        found.changes += 1


async def main(members: int) -> Run:
    """On a service of its own."""
    with servers.running() as server:
        return await run(server, members)
