"""Receipts as rows."""

from datetime import date, datetime

import msgspec
from msgspec import Struct

from schemas.cards import Balances, OperationKind
from schemas.common import Total
from schemas.problems import Reason
from schemas.receipts import Receipt
from schemas.redemptions import Line
from schemas.reversals import ReversalOutcome
from schemas.top_ups import Tender
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.answers import masked
from service.ledger.reading import Reading
from service.rules.periods import zone


class _Row(Struct):
    operation_id: str
    kind: OperationKind
    accepted: bool
    merchant_name: str
    store_id: str | None
    store_name: str | None
    time_zone: str
    legal_entity: str | None
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    business_date: date
    recorded_at: datetime
    amount: int
    currency: str
    undoes: str | None
    card_number: str | None
    expires_on: date | None
    principal_delta: int | None
    bonus_delta: int | None
    principal: int | None
    bonus: int | None
    lines: str | None
    details: str | None


class _Details(Struct):
    """Of the facts that are of one kind only, those that are printed."""

    tender: Tender | None = None
    payment_reference: str | None = None
    outcome: ReversalOutcome | None = None
    reasons: list[Reason] = []


async def by_operation(tenant: Reading, operation_id: str) -> Receipt | None:
    """The receipt of an operation, or None."""
    merchant_id = tenant.merchant.merchant_id
    row = await database.one(
        tenant.connection, "receipts.by_operation", _Row, merchant_id, operation_id
    )
    return None if row is None else _receipt(row)


async def last_of_terminal(tenant: Reading, store_id: str, terminal_id: str) -> Receipt | None:
    """The receipt of what a terminal of a store did last, or None."""
    operation_id = await tenant.connection.fetchval(
        SQL["receipts.last_of_terminal"], tenant.merchant.merchant_id, store_id, terminal_id
    )
    return None if operation_id is None else await by_operation(tenant, operation_id)


def _receipt(row: _Row) -> Receipt:
    details = msgspec.json.decode(row.details or "{}", type=_Details)
    after = None
    if row.principal is not None and row.bonus is not None:
        after = Balances(row.principal, row.bonus, row.principal + row.bonus, row.currency)
    return Receipt(
        operation_id=row.operation_id,
        kind=row.kind,
        accepted=row.accepted,
        merchant_name=row.merchant_name,
        store_id=row.store_id,
        store_name=row.store_name,
        legal_entity=row.legal_entity,
        terminal_id=row.terminal_id,
        operator=row.operator,
        shift=row.shift,
        receipt_no=row.receipt_no,
        request_no=row.request_no,
        business_date=row.business_date,
        recorded_at=row.recorded_at,
        local_time=row.recorded_at.astimezone(zone(row.time_zone)).isoformat(timespec="seconds"),
        amount=Total(row.amount, row.currency),
        tender=details.tender,
        payment_reference=details.payment_reference,
        lines=msgspec.json.decode(row.lines or "[]", type=list[Line]),
        undoes=row.undoes,
        masked_number=masked(row.card_number) if row.card_number else None,
        principal_delta=row.principal_delta or 0,
        bonus_delta=row.bonus_delta or 0,
        balances_after=after,
        outcome=details.outcome,
        expires_on=row.expires_on,
        reasons=details.reasons,
    )
