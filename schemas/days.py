"""A store's business day: what it holds, closed or open, and how it came to that."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.cards import OperationKind
from schemas.common import BusinessDate, Currency, Id, Instant, Label
from schemas.top_ups import Tender

DayBy = Annotated[
    Literal["store", "terminal", "operator", "shift"],
    Meta(description="store: the day as one. The others: lines for each of them."),
]


ChangeNo = Annotated[
    int,
    Meta(
        ge=0,
        le=2**31 - 1,
        description="The day's `change_no` as you saw it; 0 for a day that was never closed. If "
        "somebody closed or opened it since then, nothing happens: so a request that is sent "
        "again undoes nobody's work.",
    ),
]


class DayClose(Struct, forbid_unknown_fields=True):
    """Close a day."""

    change_no: ChangeNo


class DayReopen(Struct, forbid_unknown_fields=True):
    """Open a closed day again."""

    change_no: ChangeNo
    reason: Annotated[Label, Meta(description="Why; it is kept with the day.")]


class DayLine(Struct, frozen=True):
    """Operations of one kind; terminal, operator and shift are given when asked for by them.

    Closings keep these lines: a new field needs a default.
    """

    terminal_id: str | None
    operator: str | None
    shift: str | None
    kind: OperationKind
    undoes: Annotated[
        OperationKind | None,
        Meta(
            description="What a refund, void or reversal takes back: its amount goes off that "
            "kind's. Where it names no terminal, operator or shift it counts for the other's."
        ),
    ]
    tender: Annotated[
        Tender | None, Meta(description="How top-ups, also those taken back, were paid for.")
    ]
    accepted: Annotated[bool, Meta(description="false: refused attempts, which moved nothing.")]
    operations: Annotated[int, Meta(ge=0, description="How many.")]
    amount: Annotated[
        int,
        Meta(
            ge=0,
            description="Their amounts together, in minor units: what was redeemed, given back, or "
            "paid for a top-up (without the bonus). 0 for refused attempts.",
        ),
    ]


class DayChange(Struct):
    """A closing or a reopening, as it was."""

    change_no: Annotated[int, Meta(ge=1, description="In their order; the first has 1.")]
    action: Annotated[Literal["close", "reopen"], Meta(description="What was done.")]
    reason: Annotated[str | None, Meta(description="Of a reopening.")]
    changed_at: Instant
    changed_by: Annotated[Id, Meta(description="The API key or the user that did it.")]
    totals: Annotated[
        list[DayLine],
        Meta(description="What the day held at this closing, by terminal, operator and shift."),
    ]
    corrections: Annotated[
        list[DayLine],
        Meta(
            description="What came on top since the closing before: the next one books these, "
            "and never edits what was booked."
        ),
    ]


class Day(Struct):
    """A store's business day."""

    store_id: Id
    business_date: BusinessDate
    status: Annotated[
        Literal["open", "closed"],
        Meta(description="closed: nothing is added any more; what comes now is of a later day."),
    ]
    closed_through: Annotated[
        date | None, Meta(description="The store's last closed day; null: none was ever closed.")
    ]
    currency: Currency
    by: DayBy
    totals: Annotated[list[DayLine], Meta(description="What the day holds now.")]
    change_no: Annotated[
        int, Meta(ge=0, description="Of the last change; 0: never. Send it to close or reopen.")
    ]
    changes: Annotated[
        list[DayChange],
        Meta(description="Its closings and reopenings. Empty too when a later day was closed."),
    ]
