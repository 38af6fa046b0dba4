"""Field types that several nouns share."""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

AMOUNT_MAX = 2**53 - 1
# The card number of every example; where there is a demo tenant, its own stands in for it.
EXAMPLE_NUMBER = "8800123412341237"

# The mark of what never appears in a log line, a metric, a span or a problem (kernel/redaction.py):
# Meta(..., extra=SENSITIVE). It says nothing to clients.
SENSITIVE = {"sensitive": True}
Secret = Annotated[str, Meta(extra=SENSITIVE)]

# Patterns end in `$(?!\n)`: in Python a bare `$` also matches before a final line break.

Minor = Annotated[
    int, Meta(ge=0, le=AMOUNT_MAX, description="Minor units of the currency (fen for CNY).")
]
PositiveMinor = Annotated[
    int, Meta(ge=1, le=AMOUNT_MAX, description="Minor units of the currency (fen for CNY).")
]
Currency = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z]{3}$(?!\n)",
        min_length=3,
        max_length=3,
        description="ISO 4217 code.",
        examples=["CNY"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
RequestNo = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[!-~]{1,64}$(?!\n)",
        description=(
            "The till's own business number, unique per store; printable ASCII without blanks."
        ),
        examples=["POS12-20260301-000481"],
    ),
]
CardNumber = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{8,32}$(?!\n)",
        min_length=8,
        max_length=32,
        examples=[EXAMPLE_NUMBER],
        extra=SENSITIVE,
    ),
]
Id = Annotated[str, Meta(min_length=30, max_length=30, pattern=r"^[a-z]{3}_[0-9a-v]{26}$(?!\n)")]
Account = Annotated[
    Literal["principal", "bonus"],
    Meta(description="principal: what was paid in. bonus: what was given on top."),
]
Instant = Annotated[datetime, Meta(tz=True, description="UTC, RFC 3339.")]
BusinessDate = Annotated[
    date, Meta(description="The store's business day: it ends at the store's cut-off hour.")
]
ExpiresOn = Annotated[
    date | None,
    Meta(description="Last day it is good, in the merchant's time zone; null: it never expires."),
]
CardVersion = Annotated[
    int, Meta(ge=1, description="Raised by every change of the card; the order of its statement.")
]
SeenVersion = Annotated[
    int,
    Meta(ge=0, le=2**31 - 2, description="The version you saw: so no change is undone unseen."),
]
MaskedNumber = Annotated[
    str,
    Meta(
        description="For receipts and screens; the whole number is shown when a card is issued.",
        examples=["8800 **** **** 1237"],
    ),
]


class Amount(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An amount of money above zero: integer minor units and their currency."""

    value: PositiveMinor
    currency: Currency


class Total(Struct, forbid_unknown_fields=True):
    """An amount of money that may be zero."""

    value: Minor
    currency: Currency


class Till(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Where at the store it happened; every field may be left out."""

    terminal_id: Label | None = None
    operator: Label | None = None
    shift: Label | None = None
    receipt_no: Label | None = None
