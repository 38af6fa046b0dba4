"""What a till prints of an operation, and prints again."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.cards import Balances, OperationKind
from schemas.common import BusinessDate, ExpiresOn, Instant, Secret, Total
from schemas.problems import Reason
from schemas.redemptions import Line
from schemas.reversals import ReversalOutcome
from schemas.top_ups import Tender


class Receipt(Struct):
    """An operation with everything a receipt shows; the same however often it is asked for.

    Names, the store's time zone and `expires_on` (the card's) are as they are now.
    """

    operation_id: str
    kind: OperationKind
    accepted: Annotated[
        bool, Meta(description="False: it was refused and moved nothing; `reasons` tell why.")
    ]
    merchant_name: Annotated[str, Meta(description="As it is now.")]
    store_id: Annotated[str | None, Meta(description="Null: at no store, as in an app.")]
    store_name: Annotated[str | None, Meta(description="As it is now.")]
    legal_entity: Annotated[str | None, Meta(description="Who is liable: the store's, then.")]
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    business_date: BusinessDate
    recorded_at: Instant
    local_time: Annotated[
        str,
        Meta(
            description="`recorded_at` on the store's clock, to the second; at no store, the "
            "merchant's.",
            examples=["2026-03-01T14:15:00+08:00"],
        ),
    ]
    amount: Annotated[Total, Meta(description="Paid, taken or given back.")]
    tender: Annotated[Tender | None, Meta(description="How a top-up was paid.")]
    payment_reference: Secret | None
    lines: Annotated[list[Line], Meta(description="The basket of a redemption.")]
    undoes: Annotated[
        str | None, Meta(description="The operation that a refund, void or reversal is about.")
    ]
    masked_number: Annotated[
        str | None, Meta(description="The card; null when the operation was about none.")
    ]
    principal_delta: Annotated[int, Meta(description="What it added to the card or took.")]
    bonus_delta: Annotated[int, Meta(description="What it added to the card or took.")]
    balances_after: Annotated[
        Balances | None,
        Meta(description="Right after it; null when it was refused or had nothing to undo."),
    ]
    outcome: Annotated[
        ReversalOutcome | None,
        Meta(description="Of a reversal: what became of the key; null for all else."),
    ]
    expires_on: ExpiresOn
    reasons: list[Reason]
