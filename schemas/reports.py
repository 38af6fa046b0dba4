"""What a merchant owes its card holders, how it came to that, between which stores; all it did."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.common import Account, Currency, Id, Instant

By = Annotated[
    Literal["account", "template", "store"],
    Meta(
        description="account: one line for each account. template, store: one for each template, "
        "or each store that sold the value, and account."
    ),
]
Value = Annotated[int, Meta(description="Minor units of the currency.")]
Count = Annotated[
    int,
    Meta(ge=0, description="How many operations; one that touched two lines counts on both."),
]
TemplateId = Annotated[Id | None, Meta(description="Given when asked for by template.")]
SellingStoreId = Annotated[
    Id | None,
    Meta(
        description="Where the value was sold, when asked for by store. A bonus that a refund put "
        "into a new lot, because its own was past its time, counts as sold where it was refunded."
    ),
]


class LiabilityLine(Struct):
    """What was owed on one account."""

    account: Account
    currency: Currency
    template_id: TemplateId
    store_id: SellingStoreId
    value: Value
    expired: Annotated[
        int,
        Meta(
            description="The part of `value` that was past its time: it can't be claimed, and is "
            "taken off (`lapse`) when the card is next used."
        ),
    ]


class Liability(Struct):
    """The value on all cards at an instant; `value` - `expired` could be claimed."""

    as_of: Annotated[Instant, Meta(description="Everything recorded up to and including it.")]
    by: By
    data: list[LiabilityLine]


class Flow(Struct):
    """What one kind of operation did to an account."""

    kind: Annotated[
        Literal["top_up", "redeem", "refund", "void", "reversal", "lapse"],
        Meta(description="As in a statement."),
    ]
    operations: Count
    value_in: Value
    value_out: Value


class Movement(Struct):
    """How an account came from its opening to its closing: opening + in - out = closing."""

    account: Account
    currency: Currency
    template_id: TemplateId
    store_id: SellingStoreId
    opening: Value
    flows: Annotated[list[Flow], Meta(description="By kind; a kind that didn't occur is left out.")]
    closing: Value


class MovementList(Struct):
    """The roll-forward of a period: after `opening_at`, up to and including `closing_at`."""

    opening_at: Instant
    closing_at: Instant
    by: By
    data: list[Movement]


class Settlement(Struct):
    """Value that one store sold and one store took."""

    sold_store_id: SellingStoreId
    used_store_id: Annotated[Id, Meta(description="Where it was redeemed.")]
    account: Account
    currency: Currency
    redeemed: Value
    given_back: Annotated[
        int, Meta(description="By refund, void or reversal of redemptions at that store.")
    ]


class SettlementList(Struct):
    """Sold here, used there: after `opening_at`, up to and including `closing_at`."""

    opening_at: Instant
    closing_at: Instant
    data: list[Settlement]


# A column of the export of operations and what it says.
OPERATION_COLUMNS = {
    "operation_id": "its receipt is at `/v1/receipts/{operation_id}`",
    "kind": "as in a statement",
    "status": "`accepted`, or `refused`: it moved nothing",
    "recorded_at": "the order of the rows, then `operation_id`; UTC, RFC 3339",
    "occurred_at": "as `recorded_at`; of a `lapse` when its value was past its time",
    "business_date": "the store's business day",
    "store_id": "empty: at no store",
    "legal_entity": "who is liable: the store's, then",
    "terminal_id": "as the till sent it",
    "operator": "as the till sent it",
    "shift": "as the till sent it",
    "receipt_no": "as the till sent it",
    "request_no": "as the till sent it",
    "card": "the number, masked; empty: it was about no card",
    "card_id": "empty: it was about no card",
    "amount": "paid, taken or given back, or asked for when it was refused; minor units",
    "currency": "of all amounts of the row",
    "principal_delta": "what it added to the card or took; empty when it changed no card",
    "bonus_delta": "the same of the bonus",
    "undoes": "the operation that a refund, void or reversal is about",
    "tender": "how a top-up was paid",
    "payment_reference": "as it was sent",
    "refusal": "the code it was refused with",
    "reasons": "the codes of the reasons, a blank between them",
}
OperationsCsv = Annotated[
    str,
    Meta(
        description="RFC 4180 in UTF-8: a row of names, then a row for each operation, lines end "
        "with CR LF. A cell that a till or an office wrote and that begins with `=`, `+`, `-`, "
        "`@` (also in their wide forms), a tab, a line break or `'` has one `'` more in front, so "
        "that no spreadsheet takes it for a formula. Columns may be added at the end.\n\n"
        + "\n".join(f"- `{name}`: {meaning}" for name, meaning in OPERATION_COLUMNS.items())
    ),
]
