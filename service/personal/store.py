"""What is personal of members, and holds, as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from schemas.members import Binding, Member, MemberStatus
from schemas.personal import Disclosure, LegalHold
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.personal.rules import Ties


class Held(Struct, frozen=True):
    """A member with what is sealed of them."""

    member_id: str
    external_id: str | None
    status: MemberStatus
    phone_index: bytes | None
    masked_phone: str | None
    masked_name: str | None
    phone_sealed: bytes | None
    name_sealed: bytes | None
    key_no: int | None
    version: int
    created_at: datetime

    def shown(self) -> Member:
        """As a screen shows them."""
        return Member(
            self.member_id,
            self.external_id,
            self.masked_phone,
            self.masked_name,
            self.status,
            self.version,
            self.created_at,
        )


class Sealed(Struct, frozen=True):
    """What is sealed of somebody, for whoever seals it anew."""

    member_id: str
    phone_sealed: bytes | None
    name_sealed: bytes | None
    key_no: int
    version: int


async def held(tenant: Reading, member_id: str) -> Held | None:
    """A member whom nobody changes until the transaction ends; None: there is no such member."""
    merchant_id = tenant.merchant.merchant_id
    return await database.one(tenant.connection, "personal.held", Held, merchant_id, member_id)


async def is_known(tenant: Reading, member_id: str) -> bool:
    """Whether there is such a member."""
    merchant_id = tenant.merchant.merchant_id
    found = await tenant.connection.fetchval(SQL["personal.is_known"], merchant_id, member_id)
    return found is not None


async def set_name(
    tenant: Reading, member_id: str, sealed: bytes | None, masked: str | None, key_no: int | None
) -> None:
    """Another name, or none."""
    await _execute(tenant, "set_name", member_id, sealed, masked, key_no)


async def unmasked_since(tenant: Reading, actor_id: str, seconds: float) -> int:
    """How often somebody looked at what is personal lately."""
    found: int = await tenant.connection.fetchval(
        SQL["personal.unmasked_since"], tenant.merchant.merchant_id, actor_id, seconds
    )
    return found


async def bindings(tenant: Reading, member_id: str) -> list[Binding]:
    """Which cards were theirs."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(
        tenant.connection, "personal.bindings", Binding, merchant_id, member_id
    )


async def disclosures(tenant: Reading, member_id: str) -> list[Disclosure]:
    """Who looked at what is personal of them."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(
        tenant.connection, "personal.disclosures", Disclosure, merchant_id, member_id
    )


async def ties(tenant: Reading, member_id: str) -> Ties:
    """What keeps their data; nothing moves on their cards until the transaction ends."""
    merchant_id = tenant.merchant.merchant_id
    await _execute(tenant, "hold_cards", member_id)
    found = await database.one(tenant.connection, "personal.ties", Ties, merchant_id, member_id)
    assert found is not None
    return found


async def let_go(tenant: Reading, member_id: str, actor_id: str) -> None:
    """The cards that aren't in their name are nobody's."""
    await _execute(tenant, "let_go", member_id, tenant.now, actor_id)


async def restrict(tenant: Reading, member_id: str) -> None:
    """Stored, and no more than that."""
    await _execute(tenant, "restrict", member_id)


async def erase(tenant: Reading, member_id: str) -> None:
    """Nothing is left but the id."""
    await _execute(tenant, "erase", member_id)


async def place_hold(
    tenant: Reading, hold_id: str, member_id: str, reason: str, actor_id: str
) -> None:
    """A hold."""
    await tenant.connection.execute(
        SQL["personal.place_hold"],
        tenant.merchant.merchant_id,
        hold_id,
        member_id,
        reason,
        actor_id,
        tenant.now,
    )


async def hold(tenant: Reading, member_id: str, hold_id: str) -> LegalHold | None:
    """One hold of a member's."""
    merchant_id = tenant.merchant.merchant_id
    return await database.one(
        tenant.connection, "personal.hold", LegalHold, merchant_id, member_id, hold_id
    )


async def holds(tenant: Reading, member_id: str, before: str, limit: int) -> list[LegalHold]:
    """A member's holds, newest first."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(
        tenant.connection, "personal.holds", LegalHold, merchant_id, member_id, before, limit
    )


async def release_hold(tenant: Reading, member_id: str, hold_id: str, actor_id: str) -> None:
    """The end of a hold, once."""
    await _execute(tenant, "release_hold", member_id, hold_id, actor_id, tenant.now)


async def _execute(tenant: Reading, query: str, *values: Any) -> None:
    await tenant.connection.execute(SQL[f"personal.{query}"], tenant.merchant.merchant_id, *values)


async def sealed(
    connection: database.Connection, merchant_id: str, after: str, below: int, limit: int
) -> list[Sealed]:
    """Who has something sealed under an older number, in the order of their ids."""
    return await database.many(
        connection, "personal.sealed", Sealed, merchant_id, after, below, limit
    )


async def reseal(
    connection: database.Connection, merchant_id: str, key_no: int, rows: Sequence[Sealed]
) -> int:
    """Each as it is sealed now, of those who are still of this number and version; how many."""
    done = await connection.execute(
        SQL["personal.reseal"],
        merchant_id,
        key_no,
        [row.member_id for row in rows],
        [row.key_no for row in rows],
        [row.version for row in rows],
        [row.phone_sealed for row in rows],
        [row.name_sealed for row in rows],
    )
    return int(done.split()[-1])
