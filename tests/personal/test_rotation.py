"""New keys while everybody works. S5-19, INV-D16; the long version is `make rotation`."""

import asyncpg
import pytest

from service import upkeep
from service.kernel import database
from service.ledger.door import Keys
from service.personal import rotation, store
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server
from tests.personal import people, rotating


async def test_nobody_is_unreadable_while_keys_change(server: Server) -> None:
    found = await rotating.run(server, 3_000)
    assert found.failures == []
    assert found.reads > 50, "or nothing is proven"
    assert found.changes > 10
    assert found.resealed >= 3_000
    assert (found.left_behind, found.breaches) == (0, 0)


async def test_keys_destroyed_too_early_are_noticed(server: Server) -> None:
    """Negative control: with the older keys gone before all is sealed anew, reads fail."""
    settings, merchant_id = rotating.settings_of(server), await _merchant(server, 50)
    pool = await database.open_pool(server.postgres.app_dsn, 1)
    async with rotating.ring(settings, server.postgres.owner_dsn) as keyring:
        key_no = await keyring.begin(merchant_id, 0)
        async with database.tenant(pool, merchant_id) as connection:
            rows = await store.sealed(connection, merchant_id, "", key_no, 10)
            anew = await rotation._sealed_anew(keyring, merchant_id, rows, key_no)
            assert await store.reseal(connection, merchant_id, key_no, anew) == 10
        await keyring.destroy_older(merchant_id, key_no)
    await pool.close()
    assert len(await upkeep.breaches(server.postgres.owner_dsn, settings, merchant_id)) == 40


async def test_older_keys_stay_while_something_needs_them(server: Server) -> None:
    """A member whose key is gone can't be sealed anew; the others' keys aren't destroyed for it."""
    settings, merchant_id = rotating.settings_of(server), await _merchant(server, 3)
    pool = await database.open_pool(server.postgres.app_dsn, 1)
    async with rotating.ring(settings, server.postgres.owner_dsn) as keyring:
        await keyring.drop(merchant_id, people.somebody(1).member_id)
        who = people.somebody(1).member_id
        with pytest.raises(ValueError, match=f"1 members are sealed .* Not readable: {who}"):
            await rotation.rotate_all(keyring, pool, [merchant_id], 0.0)
        done = await rotation.rotate_all(keyring, pool, [merchant_id])
        assert (done.members, done.unreadable) == (2, [who])
        assert await keyring.of(merchant_id, people.somebody(2).member_id, 1) is not None
    await pool.close()


async def test_INV_D16_an_index_of_another_phone_is_a_breach(server: Server) -> None:
    settings, merchant_id = rotating.settings_of(server), await _merchant(server, 3)
    who, owner = people.somebody(1).member_id, await asyncpg.connect(server.postgres.owner_dsn)
    async with owner.transaction():
        await owner.execute("select set_config('kafang.merchant_id', $1, true)", merchant_id)
        await owner.execute(
            "update member set phone_index = sha256('other') where member_id = $1", who
        )
    await owner.close()
    (found,) = await upkeep.breaches(server.postgres.owner_dsn, settings, merchant_id)
    assert (found.invariant, found.subject) == ("INV-D16", who)
    assert found.detail == "the index isn't that of the phone"


async def _merchant(server: Server, members: int) -> str:
    """The id of a merchant with so many members."""
    settings = rotating.settings_of(server)
    made = await tenants.make(
        server.postgres.app_dsn, lambda token: Client(server.host, server.port, token)
    )
    async with rotating.ring(settings, server.postgres.owner_dsn) as keyring:
        await people.make(
            server.postgres, keyring, Keys.of(settings.secret()), made.merchant_id, members
        )
    return made.merchant_id
