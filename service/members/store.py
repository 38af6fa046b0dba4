"""Members and bindings as rows."""

from datetime import datetime
from itertools import groupby
from operator import itemgetter

import msgspec
from msgspec import Struct, structs

from schemas.members import Binding, Member, MemberCard
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger import answers
from service.ledger.reading import Reading
from service.ledger.state import Card, Lot
from service.personal.operations import SealedFields


class Known(Struct, frozen=True):
    """What a member is known by; phone, index and mask are all there or all not.

    `repr` shows none of it.
    """

    external_id: str | None
    phone: str | None
    phone_index: bytes | None
    masked_phone: str | None

    def __repr__(self) -> str:
        """Leave who it is out of logs."""
        return "Known(…)"


class _Binding(Binding):
    is_named: bool


async def insert(
    tenant: Reading, member_id: str, known: Known, sealed: SealedFields
) -> Member | None:
    """A new member; None when somebody is known by one of these."""
    return await database.one(
        tenant.connection,
        "members.insert",
        Member,
        tenant.merchant.merchant_id,
        member_id,
        known.external_id,
        known.phone_index,
        known.masked_phone,
        tenant.now,
        sealed.phone_sealed,
        sealed.name_sealed,
        sealed.masked_name,
        sealed.key_no,
    )


async def by_id(tenant: Reading, member_id: str) -> Member | None:
    """The member, or None."""
    merchant_id = tenant.merchant.merchant_id
    return await database.one(tenant.connection, "members.by_id", Member, merchant_id, member_id)


async def holders(tenant: Reading, known: Known) -> dict[str, Member | None]:
    """Who is known by each that is given, as of one moment."""
    rows = await tenant.connection.fetch(
        SQL["members.holders"],
        tenant.merchant.merchant_id,
        known.external_id,
        known.phone_index,
    )
    given = {"external_id": known.external_id, "phone": known.phone_index}
    found = {row["known_by"]: msgspec.convert(dict(row), Member) for row in rows}
    return {name: found.get(name) for name, value in given.items() if value is not None}


async def page(tenant: Reading, before: str, limit: int) -> list[Member]:
    """Members older than an id, newest first."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(
        tenant.connection, "members.page", Member, merchant_id, before, limit
    )


async def change_phone(
    tenant: Reading, member_id: str, known: Known, sealed: SealedFields
) -> Member | None:
    """The member, whom the caller holds, with another phone.

    Raises UniqueViolationError when it is somebody else's.
    """
    return await database.one(
        tenant.connection,
        "members.change_phone",
        Member,
        tenant.merchant.merchant_id,
        member_id,
        known.phone_index,
        known.masked_phone,
        sealed.phone_sealed,
        sealed.key_no,
    )


async def sign_out(tenant: Reading, member_id: str) -> Member | None:
    """End every token of a member; None when there is none."""
    merchant_id = tenant.merchant.merchant_id
    return await database.one(tenant.connection, "members.sign_out", Member, merchant_id, member_id)


async def token_generation(tenant: Reading, member_id: str) -> int | None:
    """Under which generation a member's tokens are good now; None: there is no such member."""
    generation: int | None = await tenant.connection.fetchval(
        SQL["tenant.token_generation"], tenant.merchant.merchant_id, member_id
    )
    return generation


async def count(tenant: Reading, member_id: str) -> int:
    """How many cards are a member's now."""
    merchant_id = tenant.merchant.merchant_id
    found: int = await tenant.connection.fetchval(SQL["members.count"], merchant_id, member_id)
    return found


async def card(tenant: Reading, card_id: str | None, card_number: str | None) -> str | None:
    """The id of a card that can be bound, by its id or by its number; None: there is no such."""
    query = "members.card_of_id" if card_id is not None else "members.card_of_number"
    found: str | None = await tenant.connection.fetchval(
        SQL[query], tenant.merchant.merchant_id, card_id or card_number
    )
    return found


async def bind(tenant: Reading, member_id: str, card_id: str, api_key_id: str) -> bool:
    """Make a card a member's; False when it is somebody's already."""
    merchant_id = tenant.merchant.merchant_id
    binding_no = await tenant.connection.fetchval(
        SQL["members.bind"], merchant_id, card_id, member_id, tenant.now, api_key_id
    )
    return binding_no is not None


async def holder(tenant: Reading, card_id: str) -> str | None:
    """Whose a card is now."""
    found: str | None = await tenant.connection.fetchval(
        SQL["members.holder"], tenant.merchant.merchant_id, card_id
    )
    return found


async def binding(
    tenant: Reading, card_id: str, binding_no: int, member_id: str
) -> tuple[Binding, bool] | None:
    """A member's binding, over or not, and whether the card is in their name; None: no such."""
    merchant_id = tenant.merchant.merchant_id
    row = await database.one(
        tenant.connection, "members.binding", _Binding, merchant_id, card_id, binding_no, member_id
    )
    if row is None:
        return None
    shown = Binding(row.card_id, row.member_id, row.binding_no, row.bound_at, row.unbound_at)
    return shown, row.is_named


async def unbind(tenant: Reading, card_id: str, binding_no: int, api_key_id: str) -> None:
    """End a binding that goes on."""
    merchant_id = tenant.merchant.merchant_id
    await tenant.connection.execute(
        SQL["members.unbind"], merchant_id, card_id, binding_no, tenant.now, api_key_id
    )


async def cards(tenant: Reading, member_id: str) -> list[MemberCard]:
    """The cards that are a member's now, in two queries however many they are."""
    connection, merchant_id = tenant.connection, tenant.merchant.merchant_id
    rows = await connection.fetch(SQL["members.cards"], merchant_id, member_id)
    card_ids = [row["card_id"] for row in rows]
    lots = await connection.fetch(SQL["members.lots"], merchant_id, card_ids)
    lots_of = {
        card_id: tuple(Lot(*columns) for _, *columns in group)
        for card_id, group in groupby(lots, itemgetter("card_id"))
    }
    return [
        _card(Card(*[*columns, lots_of.get(columns[0], ())]), tenant.now, binding_no, bound_at)
        for *columns, binding_no, bound_at in rows
    ]


def _card(found: Card, now: datetime, binding_no: int, bound_at: datetime) -> MemberCard:
    detail = structs.asdict(answers.card_detail(found, now))
    return MemberCard(**detail, binding_no=binding_no, bound_at=bound_at)
