"""A card's record as rows."""

from collections.abc import AsyncIterator, Iterable
from datetime import date, datetime

import msgspec
from msgspec import Struct, structs

from schemas.cards import CardStatus, OperationKind
from schemas.problems import Reason
from schemas.records import (
    LotChange,
    Movement,
    RecordedFlow,
    RecordedLot,
    RecordedStore,
    RecordedTotal,
    Refusal,
)
from schemas.redemptions import Line, LineRefund
from schemas.top_ups import Tender
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.ledger.state import Card

# Rows that are read, and made into lines, at once: some milliseconds of the loop.
SLICE = 100


class Heading(Struct):
    """What stands on top of a record; `rules` are the template's, as text."""

    merchant_name: str
    published_at: datetime
    rules: str


class _Flows(Struct):
    kind: OperationKind
    operations: int
    principal_in: int
    principal_out: int
    bonus_in: int
    bonus_out: int


class _Movement(Struct):
    """A row of the query `records.movements`; details, lines and lots are JSON as text."""

    version: int
    operation_id: str
    kind: OperationKind
    recorded_at: datetime
    occurred_at: datetime
    business_date: date
    store_id: str | None
    legal_entity: str | None
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    amount: int
    undoes: str | None
    undoes_version: int | None
    details: str | None
    lines: str | None
    lots: str | None
    principal_delta: int
    bonus_delta: int
    principal: int
    bonus: int
    status: CardStatus


class _Refusal(Struct):
    """A row of the query `records.refusals`; details are JSON as text."""

    operation_id: str
    kind: OperationKind
    at_version: int
    recorded_at: datetime
    business_date: date
    store_id: str | None
    legal_entity: str | None
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    amount: int
    currency: str | None
    undoes: str | None
    details: str


class _Details(Struct):
    """Of the facts that are of one kind only, those that a record shows."""

    tender: Tender | None = None
    payment_reference: str | None = None
    reason: str | None = None
    # What a refund gave back, by line.
    lines: dict[str, int] | None = None


class _Why(Struct):
    code: str
    reasons: list[Reason]


async def heading(tenant: Reading, card_id: str) -> Heading:
    """What stands on top of the record of a card that is there."""
    merchant_id = tenant.merchant.merchant_id
    found = await database.one(tenant.connection, "records.heading", Heading, merchant_id, card_id)
    assert found is not None
    return found


async def lots(tenant: Reading, card_id: str) -> list[RecordedLot]:
    """The credits that hold value."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(tenant.connection, "records.lots", RecordedLot, merchant_id, card_id)


async def stores(tenant: Reading, store_ids: Iterable[str]) -> list[RecordedStore]:
    """The stores with these ids."""
    return await database.many(
        tenant.connection,
        "records.stores",
        RecordedStore,
        tenant.merchant.merchant_id,
        list(store_ids),
    )


async def totals(tenant: Reading, card: Card) -> list[RecordedTotal]:
    """The card's flows by account; the closing is the balance on the card's own row."""
    merchant_id, card_id = tenant.merchant.merchant_id, card.card_id
    rows = await database.many(tenant.connection, "records.totals", _Flows, merchant_id, card_id)
    principal = [RecordedFlow(r.kind, r.operations, r.principal_in, r.principal_out) for r in rows]
    bonus = [RecordedFlow(r.kind, r.operations, r.bonus_in, r.bonus_out) for r in rows]
    return [
        RecordedTotal("principal", card.currency, 0, principal, card.principal),
        RecordedTotal("bonus", card.currency, 0, bonus, card.bonus),
    ]


async def refusal_count(tenant: Reading, card_id: str) -> int:
    """How many attempts were refused."""
    count: int = await tenant.connection.fetchval(
        SQL["records.refusal_count"], tenant.merchant.merchant_id, card_id
    )
    return count


async def movements(
    tenant: Reading, card_id: str, after: int, limit: int
) -> AsyncIterator[list[Movement]]:
    """The movements after a version, in slices."""
    cursor = await tenant.connection.cursor(
        SQL["records.movements"], tenant.merchant.merchant_id, card_id, after, limit
    )
    while rows := await cursor.fetch(SLICE):
        yield [_movement(row) for row in msgspec.convert([*map(dict, rows)], list[_Movement])]


async def refusals(
    tenant: Reading, card_id: str, recorded_at: datetime, operation_id: str, limit: int
) -> AsyncIterator[list[Refusal]]:
    """The refused attempts after a place, in slices."""
    cursor = await tenant.connection.cursor(
        SQL["records.refusals"],
        tenant.merchant.merchant_id,
        card_id,
        recorded_at,
        operation_id,
        limit,
    )
    while rows := await cursor.fetch(SLICE):
        yield [_refusal(row) for row in msgspec.convert([*map(dict, rows)], list[_Refusal])]


def _movement(row: _Movement) -> Movement:
    fields = structs.asdict(row)
    details = msgspec.json.decode(fields.pop("details") or "{}", type=_Details)
    given_back = (details.lines or {}).items()
    return Movement(
        **{
            **fields,
            "tender": details.tender,
            "payment_reference": details.payment_reference,
            "reason": details.reason,
            "lines": msgspec.json.decode(row.lines or "[]", type=list[Line]),
            "refunded_lines": [LineRefund(line_id, value) for line_id, value in given_back],
            "lots": msgspec.json.decode(row.lots or "[]", type=list[LotChange]),
        }
    )


def _refusal(row: _Refusal) -> Refusal:
    fields = structs.asdict(row)
    why = msgspec.json.decode(fields.pop("details"), type=_Why)
    return Refusal(**fields, code=why.code, reasons=why.reasons)
