"""Cards as rows."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from schemas.cards import StatementLine
from schemas.problems import Reason
from service.kernel import database
from service.kernel.problems import INVALID_REQUEST, ProblemError
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


def cursor(text: str | None) -> int:
    """The version a statement goes on after. Raises 400 for anything that isn't one of our cursors."""
    if text is None:
        return 0
    try:
        version = int(urlsafe_b64decode(text).decode("ascii"))
    except (Base64Error, ValueError):
        version = -1
    if not 0 <= version < 2**63:
        reason = Reason(
            "invalid_cursor", "Use next_cursor of the page before.", path="$query.cursor"
        )
        raise ProblemError(INVALID_REQUEST, reasons=[reason])
    return version


def encode_cursor(version: int) -> str:
    """The cursor of the page after this version."""
    return urlsafe_b64encode(str(version).encode("ascii")).decode("ascii")


async def _card(tenant: Reading, query: str, name: str) -> Card | None:
    row = await tenant.connection.fetchrow(SQL[query], tenant.merchant.merchant_id, name)
    if row is None:
        return None
    lots = await database.many(
        tenant.connection, "cards.lots", Lot, tenant.merchant.merchant_id, row["card_id"]
    )
    return Card(*[*row, tuple(lots)])
