"""The feed as rows."""

from datetime import date, datetime
from typing import Any

from msgspec import Struct

from service.kernel import database
from service.ledger.reading import Reading


class Row(Struct):
    """A numbered entry beside what it is: an operation with its leg, or an audit entry."""

    seq: int
    id: str
    sealed_at: datetime
    kind: Any
    status: Any
    card_id: str | None
    target_id: str | None
    amount: int
    currency: str
    store_id: str | None
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    business_date: date | None
    occurred_at: datetime | None
    recorded_at: datetime | None
    api_key_id: str | None
    user_id: str | None
    session_id: str | None
    refusal: str | None
    version: int | None
    card_status: Any
    principal_delta: int
    bonus_delta: int
    principal: int
    bonus: int
    action: Any
    object_id: str | None
    actor_kind: Any
    actor_id: str | None
    actor_session_id: str | None
    changed_at: datetime | None


async def after(tenant: Reading, seq: int, limit: int) -> list[Row]:
    """What has the numbers after one, in their order."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(tenant.connection, "events.after", Row, merchant_id, seq, limit)
