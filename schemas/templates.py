"""Card templates: the product a merchant's cards are issued from."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from schemas.common import Currency, Id, Instant, Name, PositiveMinor

Period = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=20,
        pattern=r"^P[0-9YMWD]+$(?!\n)",
        description="ISO 8601 calendar period.",
        examples=["P3Y"],
    ),
]
DrawdownPolicy = Annotated[
    Literal["bonus_first", "principal_first", "pro_rata"],
    Meta(
        description="Which account pays first; pro_rata: both, in proportion to what they hold. "
        "Inside an account the lot that expires first pays first. bonus_first if left out."
    ),
]


class Numbering(Struct, forbid_unknown_fields=True):
    """How card numbers are made: prefix, random digits from a secure source, Luhn digit."""

    prefix: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]{1,8}$(?!\n)",
            min_length=1,
            max_length=8,
            description="What every number begins with.",
            examples=["8800"],
        ),
    ]
    digits: Annotated[
        int, Meta(ge=12, le=24, description="Length of the whole number.", examples=[16])
    ]


class Validity(Struct, forbid_unknown_fields=True):
    """How long a card is valid; leave `validity` out (null) for a card that never expires."""

    type: Literal["after_activation"]
    period: Period


class StoreScope(Struct, forbid_unknown_fields=True):
    """Which stores redeem the card. `ids` is empty for `all`."""

    mode: Annotated[
        Literal["all", "include", "exclude"],
        Meta(
            description="include: only at `ids`. exclude: everywhere but at `ids`. all if left out."
        ),
    ] = "all"
    ids: Annotated[list[Id], Meta(max_length=5000, description="Stores.")] = field(
        default_factory=list
    )


class TopUpStep(Struct, forbid_unknown_fields=True):
    """One step of the ladder: pay at least `pay`, get `bonus` on top (充300送50).

    The highest step reached applies, once.
    """

    pay: PositiveMinor
    bonus: PositiveMinor
    bonus_validity: Annotated[
        Period | None, Meta(description="From the top-up on; null: the bonus never lapses.")
    ] = None


class CardTemplateCreate(Struct, forbid_unknown_fields=True):
    """A stored-value card product; it is published as version 1 and then never changes."""

    name: Name
    currency: Currency
    holder: Annotated[Literal["named", "anonymous"], Meta(description="记名 / 不记名")]
    numbering: Numbering
    max_balance: Annotated[
        PositiveMinor, Meta(description="Principal and bonus together, in minor units.")
    ]
    drawdown_policy: DrawdownPolicy = "bonus_first"
    validity: Validity | None = None
    stores: StoreScope = field(default_factory=StoreScope)
    top_up_rules: Annotated[list[TopUpStep], Meta(max_length=50)] = field(default_factory=list)
    max_cards: Annotated[
        Annotated[int, Meta(ge=1, le=100_000_000)] | None,
        Meta(description="How many cards may be issued; null: as many as there are numbers for."),
    ] = None


class CardTemplate(Struct):
    """A published version of a template."""

    id: str
    version: Annotated[int, Meta(description="Cards keep the version they were issued under.")]
    status: Literal["published"]
    rules: CardTemplateCreate
    published_at: Instant


class CardTemplateList(Struct):
    """Templates, newest first."""

    data: list[CardTemplate]
    next_cursor: str | None
