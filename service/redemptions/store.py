"""Redemptions as rows."""

from datetime import date, datetime

import msgspec
from msgspec import Struct

from schemas.cards import Balances, CardAfter
from schemas.common import Amount, Total
from schemas.problems import Reason
from schemas.redemptions import Allocation, Line, Redemption, RedemptionStatus
from service.kernel import database
from service.ledger.answers import masked
from service.ledger.reading import Reading


class _Row(Struct):
    """A redemption with its operation and the leg after it."""

    redemption_id: str
    status: RedemptionStatus
    request_no: str
    store_id: str
    business_date: date
    recorded_at: datetime
    currency: str | None
    amount: int
    refunded: int
    lines: str
    allocations: str
    card_id: str | None
    card_number: str | None
    version: int | None
    principal: int | None
    bonus: int | None
    details: str | None


class _Refusal(Struct):
    code: str
    reasons: list[Reason]


async def by_request_no(tenant: Reading, store_id: str, request_no: str) -> list[Redemption]:
    """The captured redemption with this number, then refused attempts, oldest first."""
    merchant_id = tenant.merchant.merchant_id
    rows = await database.many(
        tenant.connection, "redemptions.by_request_no", _Row, merchant_id, store_id, request_no
    )
    rows += await database.many(
        tenant.connection, "redemptions.refused", _Row, merchant_id, store_id, request_no
    )
    return [_redemption(row, tenant.merchant.currency) for row in rows]


async def by_id(tenant: Reading, redemption_id: str) -> Redemption | None:
    """One redemption, captured or refused, or None."""
    merchant_id = tenant.merchant.merchant_id
    for query in ("redemptions.by_id", "redemptions.refused_by_id"):
        row = await database.one(tenant.connection, query, _Row, merchant_id, redemption_id)
        if row is not None:
            return _redemption(row, tenant.merchant.currency)
    return None


def _redemption(row: _Row, merchant_currency: str) -> Redemption:
    currency = row.currency or merchant_currency
    after = None
    if row.card_id is not None and row.card_number is not None and row.version is not None:
        principal, bonus = row.principal or 0, row.bonus or 0
        after = CardAfter(
            row.card_id,
            masked(row.card_number),
            row.version,
            Balances(principal, bonus, principal + bonus, currency),
        )
    return Redemption(
        id=row.redemption_id,
        status=row.status,
        request_no=row.request_no,
        store_id=row.store_id,
        business_date=row.business_date,
        recorded_at=row.recorded_at,
        amount=Amount(row.amount, currency),
        refunded=Total(row.refunded, currency),
        allocations=msgspec.json.decode(row.allocations, type=list[Allocation]),
        lines=msgspec.json.decode(row.lines, type=list[Line]),
        card=after,
        reasons=msgspec.json.decode(row.details, type=_Refusal).reasons if row.details else [],
    )
