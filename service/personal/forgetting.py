"""Forgetting people: at their wish, once they need not be kept, and again after a restore.

Who is forgotten is written down twice: in the ledger, and in the store of keys. Each may be put
back to before, and learns it from the other then.
"""

from msgspec import Struct

from service.audit import operations as audit
from service.kernel import database
from service.kernel.keyring import Keyring
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.ledger.terms import Merchant
from service.personal import rules, store
from service.personal.rules import Kept


class Forgotten(Struct):
    """What a run did: who was erased as their time is over, and who as they were before."""

    due: int = 0
    again: int = 0


async def settle(tenant: Reading, member_id: str, actor_id: str) -> Kept | list[str]:
    """Take from the ledger what is known of somebody, or restrict them while they are kept.

    The cards whose value is theirs, where there are such: then nothing was changed. Their key is
    the caller's to destroy, when all else is done.
    """
    ties = await store.ties(tenant, member_id)
    if ties.cards_with_value:
        return ties.cards_with_value
    kept = rules.kept(tenant.now, tenant.merchant.time_zone, ties)
    await store.let_go(tenant, member_id, actor_id)
    if kept.reasons:
        await store.restrict(tenant, member_id)
    else:
        await store.erase(tenant, member_id)
    return kept


async def forget_all(keyring: Keyring, pool: database.Pool, merchant_ids: list[str]) -> Forgotten:
    """Erase all whose time is over, and all who were erased before a restore."""
    done = Forgotten()
    for merchant_id in merchant_ids:
        await _as_the_store_says(keyring, pool, merchant_id, done)
        for member_id in await _of_status(pool, merchant_id, "erased"):
            await keyring.forget(merchant_id, member_id)
        for member_id in await _of_status(pool, merchant_id, "restricted"):
            await keyring.remember(merchant_id, member_id)
            done.due += await _forget(keyring, pool, merchant_id, member_id)
    return done


async def _as_the_store_says(
    keyring: Keyring, pool: database.Pool, merchant_id: str, done: Forgotten
) -> None:
    """A ledger that was put back knows people again who were erased, or restricted, since."""
    after = ""
    while found := await keyring.forgotten(merchant_id, after):
        after = found[-1][0]
        for member_id, is_erased in found:
            if is_erased:
                done.again += await _erase_again(pool, merchant_id, member_id)
            else:
                await _forget(keyring, pool, merchant_id, member_id)


async def _of_status(pool: database.Pool, merchant_id: str, status: str) -> list[str]:
    found: list[str] = []
    async with database.tenant(pool, merchant_id) as connection:
        while rows := await connection.fetch(
            SQL["personal.of_status"], merchant_id, status, found[-1] if found else ""
        ):
            found += [row["member_id"] for row in rows]
    return found


async def _erase_again(pool: database.Pool, merchant_id: str, member_id: str) -> bool:
    """Whether the ledger knew somebody whose key is destroyed."""
    async with database.tenant(pool, merchant_id) as connection:
        tenant = await _tenant(connection, merchant_id)
        held = await store.held(tenant, member_id)
        if held is None or held.status == "erased":
            return False
        await store.let_go(tenant, member_id, audit.account())
        await store.erase(tenant, member_id)
        await audit.record_operator(connection, merchant_id, "member.erased", member_id)
    return True


async def _forget(keyring: Keyring, pool: database.Pool, merchant_id: str, member_id: str) -> bool:
    """Whether somebody who asked for it is erased by this."""
    async with database.tenant(pool, merchant_id) as connection:
        tenant = await _tenant(connection, merchant_id)
        held = await store.held(tenant, member_id)
        if held is None or held.status == "erased":
            return False
        kept = await settle(tenant, member_id, audit.account())
        if not isinstance(kept, Kept) or kept.reasons:
            return False
        await audit.record_operator(connection, merchant_id, "member.erased", member_id)
        await keyring.forget(merchant_id, member_id)
    return True


async def _tenant(connection: database.Connection, merchant_id: str) -> Reading:
    merchant = await database.one(connection, "tenant.merchant", Merchant, merchant_id)
    assert merchant is not None
    return Reading(connection, merchant)
