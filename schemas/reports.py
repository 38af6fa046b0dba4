"""What a merchant owes its card holders, how it came to that, and between which stores."""

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
