"""Redemptions, their quotes and their refunds."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from schemas.cards import CardAfter
from schemas.common import (
    Account,
    Amount,
    BusinessDate,
    CardNumber,
    Id,
    Instant,
    Label,
    Minor,
    PositiveMinor,
    RequestNo,
    Secret,
    Till,
    Total,
)
from schemas.problems import Reason

RedemptionStatus = Annotated[
    Literal["captured", "partly_refunded", "refunded", "voided", "refused"],
    Meta(description="refused: an attempt that took nothing; its reasons tell why."),
]


class Source(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The card that pays: by number (a till) or by id (a mini-program). Exactly one of the two."""

    card_number: CardNumber | None = None
    card_id: Id | None = None


class Line(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the basket; total = list_price × quantity − discount + tax.

    The list price is kept because the law's refund sum needs it (SPC art. 19).
    """

    line_id: Label
    sku: Annotated[Label, Meta(description="The article, as the till knows it.")]
    quantity: Annotated[int, Meta(ge=1, le=1_000_000, description="Pieces.")]
    list_price: Annotated[Minor, Meta(description="Of one piece, in minor units.")]
    total: Annotated[Minor, Meta(description="Of the line; must add up, in minor units.")]
    discount: Annotated[
        Minor, Meta(description="Off the whole line, in minor units; 0 if left out.")
    ] = 0
    tax: Annotated[
        Minor, Meta(description="On top of the line; 0 (or left out) when prices include it.")
    ] = 0
    category: Annotated[Label | None, Meta(description="For rules by kind of article.")] = None


class QuoteRequest(Struct, forbid_unknown_fields=True):
    """What would a redemption do? Nothing moves and no key is used."""

    amount: Amount
    sources: Annotated[list[Source], Meta(min_length=1, max_length=1)]
    store_id: Id | None = None
    lines: Annotated[list[Line], Meta(max_length=200)] = field(default_factory=list)


class RedemptionCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Take an amount from a card, once."""

    request_no: RequestNo
    amount: Amount
    sources: Annotated[list[Source], Meta(min_length=1, max_length=1)]
    store_id: Annotated[
        Id | None, Meta(description="Required for a merchant's key; a till's key knows its store.")
    ] = None
    lines: Annotated[list[Line], Meta(max_length=200)] = field(default_factory=list)
    till: Till | None = None
    quote_token: Annotated[
        Annotated[Secret, Meta(max_length=200)] | None,
        Meta(description="From a quote: refuse when its terms moved or its time is over."),
    ] = None
    expected_payable: Annotated[
        Minor | None, Meta(description="Refuse when the payable differs.")
    ] = None


class Allocation(Struct):
    """What one lot paid, in the order drawn."""

    card_id: str
    account: Account
    lot_id: str
    value: Annotated[int, Meta(description="Minor units of the currency.")]


class Redemption(Struct):
    """A redemption: `amount` was taken, `refunded` has been given back."""

    id: str
    status: RedemptionStatus
    request_no: str
    store_id: str
    business_date: BusinessDate
    recorded_at: Instant
    amount: Amount
    refunded: Total
    allocations: list[Allocation]
    lines: list[Line]
    card: CardAfter | None
    reasons: list[Reason]


class RedemptionList(Struct):
    """The redemptions with one request number: at most one captured, and the refused attempts."""

    data: list[Redemption]


class Quote(Struct):
    """What a redemption would do now. `accepted` false lists every reason against it."""

    accepted: Annotated[bool, Meta(description="Whether a redemption would go through now.")]
    payable: Total
    allocations: list[Allocation]
    reasons: list[Reason]
    quote_token: Annotated[
        Secret | None, Meta(description="Send it with the redemption; null when not accepted.")
    ]
    expires_at: Annotated[Instant | None, Meta(description="When the token ends.")]


class LineRefund(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How much of one line is given back."""

    line_id: Label
    value: PositiveMinor


class RefundCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Give back part or all of a redemption.

    Nothing named gives back all that is left, `amount` that much, `lines` so much of each line.
    """

    amount: Amount | None = None
    lines: Annotated[
        Annotated[list[LineRefund], Meta(min_length=1, max_length=200)] | None,
        Meta(description="How much of which lines; left out, never empty."),
    ] = None
    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    till: Till | None = None


class VoidCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Undo a whole redemption on its own business date, before any refund."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    till: Till | None = None


class Refund(Struct):
    """Value given back to the lots it came from."""

    id: str
    kind: Literal["refund", "void"]
    redemption_id: str
    redemption_status: RedemptionStatus
    amount: Amount
    left: Total
    allocations: list[Allocation]
    business_date: BusinessDate
    recorded_at: Instant
    card: CardAfter
