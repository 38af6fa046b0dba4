"""Top-ups: value in, from a payment taken elsewhere."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.cards import CardAfter, Lot
from schemas.common import (
    SENSITIVE,
    Amount,
    BusinessDate,
    Id,
    Instant,
    Label,
    Secret,
    Till,
    Total,
)

Tender = Literal["cash", "bank_card", "wechat_pay", "alipay", "bank_transfer", "other"]


class TopUpCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Credit a card with what the customer paid; the template's ladder adds the bonus."""

    amount: Amount
    tender: Tender
    payment_reference: Annotated[
        Label | None,
        Meta(
            description="The payment's number in the system that took it.",
            examples=["4200002026030100481"],
            extra=SENSITIVE,
        ),
    ] = None
    store_id: Annotated[
        Id | None, Meta(description="Required for a merchant's key; a till's key knows its store.")
    ] = None
    till: Till | None = None


class TopUp(Struct):
    """A top-up that happened."""

    id: str
    status: Literal["accepted"]
    paid: Total
    bonus: Total
    tender: Tender
    payment_reference: Secret | None
    store_id: str
    business_date: BusinessDate
    recorded_at: Instant
    lots: list[Lot]
    card: CardAfter
