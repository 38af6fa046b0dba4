"""Cards as the API shows them."""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.common import Account, CardNumber, Currency, Id

CardStatus = Literal["created", "active", "frozen", "expired"]


class CardCreate(Struct, forbid_unknown_fields=True):
    """Issue one card of a published template; the number is made by the server."""

    template_id: Id
    activate: Annotated[bool, Meta(description="Activate at once, as a virtual card is.")] = False


class CardAction(Struct, forbid_unknown_fields=True):
    """Activate, freeze or unfreeze; a reason is kept with the operation."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class CardLookup(Struct, forbid_unknown_fields=True):
    """Find a card by its number (numbers never go into a URL)."""

    card_number: CardNumber


class Balances(Struct):
    """What can be spent now, in minor units: lapsed value is not in it."""

    principal: int
    bonus: int
    total: int
    currency: Currency


class Lot(Struct):
    """One credit with its own expiry."""

    id: str
    account: Account
    amount: int
    remaining: int
    expires_on: Annotated[
        date | None, Meta(description="Last day it can be spent, in the merchant's time zone.")
    ]


class Card(Struct):
    """A card as of `version`; every answer that touches a card carries version and balances."""

    id: str
    masked_number: str
    template_id: str
    template_version: int
    status: CardStatus
    version: Annotated[int, Meta(ge=1)]
    balances: Balances
    activated_at: datetime | None
    expires_on: date | None
    created_at: datetime


class CardDetail(Card, kw_only=True):
    """A card with its spendable lots, in the order they would be drawn inside each account."""

    lots: list[Lot]


class IssuedCard(Card, kw_only=True):
    """A new card, with its whole number: the only answer that shows it."""

    card_number: str


class CardAfter(Struct):
    """A card right after an operation."""

    card_id: str
    masked_number: str
    version: int
    balances: Balances


class StatementLine(Struct):
    """One leg: what an operation did to this card and the balances after it."""

    version: int
    operation_id: str
    kind: str
    recorded_at: datetime
    business_date: date
    store_id: str | None
    receipt_no: str | None
    principal_delta: int
    bonus_delta: int
    principal: int
    bonus: int
    status: str


class Statement(Struct):
    """Legs of a card, oldest first, without gap."""

    data: list[StatementLine]
    next_cursor: str | None
