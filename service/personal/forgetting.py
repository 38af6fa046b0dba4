"""Forgetting people: at their wish, once they need not be kept, and again after a restore."""

from msgspec import Struct

from service.audit import operations as audit
from service.kernel import database
from service.kernel.keyring import Keyring
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.ledger.terms import Merchant
from service.personal import rules, store
from service.personal.rules import Kept

BATCH = 500


class Forgotten(Struct):
    """What a run did: who was erased as their time is over, and who because their key is gone."""

    due: int = 0
    without_key: int = 0


async def forget(
    keyring: Keyring, tenant: Reading, member_id: str, actor_id: str
) -> Kept | list[str]:
    """Erase somebody, or restrict them while they are kept; or the cards whose value is theirs.

    Their key is destroyed before the row says so: where the transaction fails after that, they are
    unreadable, and asking again finishes it.
    """
    ties = await store.ties(tenant, member_id)
    if ties.cards_with_value:
        return ties.cards_with_value
    kept = rules.kept(tenant.now, tenant.merchant.time_zone, ties)
    await store.let_go(tenant, member_id, actor_id)
    if kept.reasons:
        await store.restrict(tenant, member_id, kept.until)
    else:
        await keyring.destroy(tenant.merchant.merchant_id, member_id)
        await store.erase(tenant, member_id)
    return kept


async def forget_due(keyring: Keyring, pool: database.Pool, merchant_id: str) -> Forgotten:
    """Erase all of a merchant's members whose time is over, and those whose key is destroyed.

    A backup that is restored knows people again who were erased since; it can't read them, and
    after this it doesn't know them either.
    """
    done = Forgotten()
    for query in ("restricted", "numbered"):
        after = ""
        while ids := await _ids(pool, merchant_id, query, after):
            after = ids[-1]
            for member_id in ids:
                await _forget_one(keyring, pool, merchant_id, member_id, done)
    return done


async def forget_all(keyring: Keyring, pool: database.Pool, merchant_ids: list[str]) -> Forgotten:
    """The same of several merchants."""
    done = Forgotten()
    for merchant_id in merchant_ids:
        one = await forget_due(keyring, pool, merchant_id)
        done.due += one.due
        done.without_key += one.without_key
    return done


async def _ids(pool: database.Pool, merchant_id: str, query: str, after: str) -> list[str]:
    async with database.tenant(pool, merchant_id) as connection:
        rows = await connection.fetch(SQL[f"personal.{query}"], merchant_id, after, BATCH)
        return [str(row[0]) for row in rows]


async def _forget_one(
    keyring: Keyring, pool: database.Pool, merchant_id: str, member_id: str, done: Forgotten
) -> None:
    async with database.tenant(pool, merchant_id) as connection:
        merchant = await database.one(connection, "tenant.merchant", Merchant, merchant_id)
        assert merchant is not None
        tenant = Reading(connection, merchant)
        held = await store.held(tenant, member_id)
        if held is None or held.status == "erased":
            return
        if held.key_no is not None and await keyring.is_destroyed(
            merchant_id, member_id, held.key_no
        ):
            await store.erase(tenant, member_id)
            done.without_key += 1
        elif held.status == "restricted":
            kept = await forget(keyring, tenant, member_id, audit.account())
            if not isinstance(kept, Kept) or kept.reasons:
                return
            done.due += 1
        else:
            return
        await audit.record_operator(connection, merchant_id, "member.erased", member_id)
