"""The feed: everything that happened to a merchant, numbered without a gap."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.audit import Action, Actor
from schemas.cards import Balances, CardStatus, OperationKind
from schemas.common import BusinessDate, CardVersion, Id, Instant, Total

Seq = Annotated[
    int,
    Meta(
        ge=0,
        le=2**53 - 1,
        description="The event's number: 1, 2, 3 … for each merchant, without a gap. Of one card "
        "they are in the order of its versions.",
    ),
]


class EventCard(Struct):
    """What an operation left on its card."""

    version: CardVersion
    status: CardStatus
    principal_delta: Annotated[int, Meta(description="What it added to the card or took.")]
    bonus_delta: Annotated[int, Meta(description="What it added to the card or took.")]
    balances: Balances


class EventOperation(Struct):
    """An operation on a card, or what was refused: that has moved nothing."""

    operation_id: str
    kind: OperationKind
    status: Literal["accepted", "refused"]
    refusal: Annotated[str | None, Meta(description="The code it was refused with.")]
    card_id: str | None
    amount: Annotated[Total, Meta(description="Paid, taken or given back, or asked for.")]
    undoes: Annotated[
        str | None, Meta(description="The operation that a refund, void or reversal is about.")
    ]
    store_id: str | None
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    business_date: BusinessDate
    occurred_at: Instant
    card: Annotated[EventCard | None, Meta(description="Null: it changed no card.")]


class EventChange(Struct):
    """A change of the configuration; the audit trail has all of it."""

    audit_entry_id: Annotated[str, Meta(description="Its entry in the audit trail.")]
    action: Annotated[Action, Meta(description="What was done.")]
    object_id: Annotated[str | None, Meta(description="What was changed.")]


class Event(Struct):
    """One thing that happened. Either `operation` or `change` is there."""

    id: Annotated[str, Meta(description="The same whenever it is read: two with one id are one.")]
    seq: Seq
    recorded_at: Annotated[Instant, Meta(description="When it was decided.")]
    actor: Annotated[Actor | None, Meta(description="Null: time did it, as when value lapses.")]
    operation: EventOperation | None
    change: EventChange | None


class EventList(Struct):
    """The events after a number, in their order."""

    data: list[Event]
    last_seq: Annotated[
        Seq,
        Meta(
            description="Go on after this one. It was looked at, even where a filter left it out."
        ),
    ]
    has_more: Annotated[bool, Meta(description="False: ask again in a second, not at once.")]


CardOnly = Annotated[Id, Meta(description="Only operations on this card.")]
StoreOnly = Annotated[Id, Meta(description="Only operations at this store.")]
