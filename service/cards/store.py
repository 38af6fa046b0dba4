"""Cards as rows."""

from schemas.cards import StatementLine
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.ledger.state import Card, Lot


async def by_number(tenant: Reading, card_number: str) -> Card | None:
    """A card with its lots, by number."""
    return await _card(tenant, "cards.by_number", card_number)


async def by_id(tenant: Reading, card_id: str) -> Card | None:
    """A card with its lots, by id."""
    return await _card(tenant, "cards.by_id", card_id)


async def statement(tenant: Reading, card_id: str, after: int, limit: int) -> list[StatementLine]:
    """Legs after a version."""
    return await database.many(
        tenant.connection,
        "cards.statement",
        StatementLine,
        tenant.merchant.merchant_id,
        card_id,
        after,
        limit,
    )


async def _card(tenant: Reading, query: str, name: str) -> Card | None:
    row = await tenant.connection.fetchrow(SQL[query], tenant.merchant.merchant_id, name)
    if row is None:
        return None
    lots = await database.many(
        tenant.connection, "cards.lots", Lot, tenant.merchant.merchant_id, row["card_id"]
    )
    return Card(*[*row, tuple(lots)])
