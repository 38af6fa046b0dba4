"""Cards as the API shows them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.common import (
    Account,
    BusinessDate,
    CardNumber,
    CardVersion,
    Currency,
    ExpiresOn,
    Id,
    Instant,
    MaskedNumber,
    Secret,
)

CardStatus = Annotated[
    Literal["created", "active", "frozen", "expired"],
    Meta(
        description="created: not activated yet. frozen: gives and takes nothing, but refunds "
        "land. expired: its validity is over, the balance is kept."
    ),
]


class CardCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Issue one card of a published template; the number is made by the server."""

    template_id: Id
    activate: Annotated[
        bool, Meta(description="true: active at once, as a virtual card is. false if left out.")
    ] = False
    store_id: Annotated[
        Id | None,
        Meta(
            description="Where it is sold. Whoever acts for one store leaves it out; named by "
            "who acts for several; headquarters may leave it out."
        ),
    ] = None


class CardAction(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Activate, freeze or unfreeze; a reason is kept with the operation."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    store_id: Annotated[
        Id | None,
        Meta(
            description="Where. Whoever acts for one store leaves it out; to activate it is named "
            "by who acts for several; headquarters may leave it out."
        ),
    ] = None


class CardLookup(Struct, forbid_unknown_fields=True):
    """Find a card by its number (numbers never go into a URL)."""

    card_number: CardNumber


class Balances(Struct):
    """What can be spent now, in minor units: lapsed value is not in it."""

    principal: Annotated[int, Meta(description="Of what was paid in.")]
    bonus: Annotated[int, Meta(description="Of what was given on top.")]
    total: Annotated[int, Meta(description="Principal and bonus.")]
    currency: Currency


class Lot(Struct):
    """One credit with its own expiry."""

    id: str
    account: Account
    amount: Annotated[int, Meta(description="As credited, in minor units.")]
    remaining: Annotated[int, Meta(description="What is left of it.")]
    expires_on: ExpiresOn


class Card(Struct):
    """A card as of `version`; every answer that touches a card carries version and balances."""

    id: str
    masked_number: MaskedNumber
    template_id: str
    template_version: Annotated[int, Meta(description="The rules the card was issued under.")]
    status: CardStatus
    version: CardVersion
    balances: Balances
    activated_at: Instant | None
    expires_on: ExpiresOn
    created_at: Instant


class CardDetail(Card, kw_only=True):
    """A card with its spendable lots, in the order they would be drawn inside each account."""

    lots: list[Lot]


class IssuedCard(Card, kw_only=True):
    """A new card, with its whole number: the only answer that shows it."""

    card_number: Secret


class CardAfter(Struct):
    """A card right after an operation."""

    card_id: str
    masked_number: MaskedNumber
    version: CardVersion
    balances: Balances


OperationKind = Annotated[
    Literal[
        "issue",
        "activate",
        "top_up",
        "redeem",
        "refund",
        "void",
        "reversal",
        "freeze",
        "unfreeze",
        "lapse",
    ],
    Meta(description="What happened; lapse: a bonus that was past its time was taken off."),
]


class StatementLine(Struct):
    """One leg: what an operation did to this card and the balances after it."""

    version: CardVersion
    operation_id: str
    kind: OperationKind
    recorded_at: Instant
    business_date: BusinessDate
    store_id: str | None
    receipt_no: str | None
    principal_delta: Annotated[int, Meta(description="What the operation added or took.")]
    bonus_delta: Annotated[int, Meta(description="What the operation added or took.")]
    principal: Annotated[int, Meta(description="After the operation.")]
    bonus: Annotated[int, Meta(description="After the operation.")]
    status: Annotated[CardStatus, Meta(description="After the operation.")]


class Statement(Struct):
    """Legs of a card, oldest first, without gap."""

    data: list[StatementLine]
    next_cursor: str | None
