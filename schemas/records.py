"""A card's record: its contract, everything that happened to it, and the proof that it is whole."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.cards import Card, CardStatus, OperationKind
from schemas.common import Account, BusinessDate, CardVersion, Currency, ExpiresOn, Instant, Secret
from schemas.problems import Reason
from schemas.redemptions import Line, LineRefund
from schemas.reports import Count, Value
from schemas.templates import CardTemplateCreate
from schemas.top_ups import Tender

Language = Annotated[
    Literal["zh-CN", "en"],
    Meta(
        description="Of the words: those of the contract, and all of a page's. zh-CN if left out."
    ),
]
Format = Annotated[
    Literal["json", "html", "pdf"],
    Meta(
        description="json: for programs, and what the proof is reckoned over. html, pdf: the same "
        "for people, to show or to print. json if left out."
    ),
]
Digest = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="SHA-256, in hexadecimal digits.")
]
Page = Annotated[
    str,
    Meta(
        description="A page to show and to print; it loads nothing and runs nothing.",
        examples=['<!doctype html>\n<html lang="zh-CN">…</html>\n'],
    ),
]
File = Annotated[
    str,
    Meta(
        description="A file to print.",
        examples=["%PDF-1.4 …"],
        extra_json_schema={"contentMediaType": "application/pdf"},
    ),
]


class RecordedMerchant(Struct):
    """Whose card it is."""

    id: str
    name: Annotated[str, Meta(description="As it is now.")]
    time_zone: Annotated[str, Meta(description="Of expiries, and of what happened at no store.")]


class RecordedCard(Card, kw_only=True):
    """The card now. `balances` is what can be spent; the sums of `totals` hold what lapsed too."""

    holder: Annotated[Literal["named", "anonymous"], Meta(description="记名 / 不记名")]


class Contract(Struct):
    """The rules the card was issued under; they never change."""

    template_id: str
    template_version: Annotated[int, Meta(description="The rules the card was issued under.")]
    published_at: Instant
    rules: CardTemplateCreate
    terms: Annotated[list[str], Meta(description="The same in words.")]


class RecordedStore(Struct):
    """A store that is named in this part."""

    id: str
    name: Annotated[str, Meta(description="As it is now.")]
    time_zone: Annotated[str, Meta(description="What its clocks show, by the IANA name.")]


class RecordedLot(Struct):
    """A credit that still holds value, and where it came from."""

    id: str
    account: Account
    amount: Annotated[int, Meta(description="As credited, in minor units.")]
    remaining: Annotated[int, Meta(description="What is left of it.")]
    expires_on: ExpiresOn
    operation_id: str
    kind: OperationKind
    from_version: Annotated[int, Meta(description="The movement that credited it.")]


class RecordedFlow(Struct):
    """What one kind of operation did to an account."""

    kind: OperationKind
    operations: Count
    value_in: Value
    value_out: Value


class RecordedTotal(Struct):
    """An account's whole life: 0 + in - out = closing, and closing is what the card holds."""

    account: Account
    currency: Currency
    opening: Annotated[int, Meta(description="Always 0: the record begins with the card.")]
    flows: list[RecordedFlow]
    closing: Annotated[int, Meta(description="The card's own balance, lapsed value included.")]


class LotChange(Struct):
    """What a movement added to a credit, or took."""

    lot_id: str
    account: Account
    value: Annotated[int, Meta(description="In minor units; below 0: taken.")]


class Movement(Struct):
    """One change of the card as it was written then; nothing of it ever changes.

    `undoes` and `undoes_version` name the movement that a refund, void or reversal is about.
    """

    version: CardVersion
    operation_id: str
    kind: OperationKind
    recorded_at: Instant
    occurred_at: Annotated[
        Instant, Meta(description="When it happened: a lapse happens before it is recorded.")
    ]
    business_date: BusinessDate
    store_id: str | None
    legal_entity: Annotated[str | None, Meta(description="Who is liable: the store's, then.")]
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    amount: Annotated[int, Meta(description="Paid, taken or given back, in minor units.")]
    tender: Annotated[Tender | None, Meta(description="How a top-up was paid.")]
    payment_reference: Secret | None
    reason: str | None
    lines: Annotated[list[Line], Meta(description="The basket of a redemption.")]
    refunded_lines: Annotated[
        list[LineRefund], Meta(description="What a refund gave back of which line.")
    ]
    undoes: Annotated[str | None, Meta(description="The operation it undoes, in whole or in part.")]
    undoes_version: Annotated[int | None, Meta(description="That movement's number.")]
    lots: list[LotChange]
    principal_delta: Annotated[int, Meta(description="What the operation added or took.")]
    bonus_delta: Annotated[int, Meta(description="What the operation added or took.")]
    principal: Annotated[int, Meta(description="After the operation.")]
    bonus: Annotated[int, Meta(description="After the operation.")]
    status: Annotated[CardStatus, Meta(description="After the operation.")]


class RecordedMovement(Movement, kw_only=True):
    """A movement, and the digest that ties it to the one before."""

    digest: Digest


class Refusal(Struct):
    """An attempt that was refused: it moved nothing, and is in no sum."""

    operation_id: str
    kind: OperationKind
    at_version: Annotated[int, Meta(description="The last movement it knew of.")]
    recorded_at: Instant
    business_date: BusinessDate
    store_id: str | None
    legal_entity: Annotated[str | None, Meta(description="Who is liable: the store's, then.")]
    terminal_id: str | None
    operator: str | None
    shift: str | None
    receipt_no: str | None
    request_no: str | None
    amount: Annotated[int, Meta(description="What was asked for, in minor units.")]
    currency: Annotated[
        str | None, Meta(description="In which the amount was asked for, as it was sent.")
    ]
    undoes: Annotated[str | None, Meta(description="The operation it was to undo.")]
    code: str
    reasons: list[Reason]


class RecordedRefusal(Refusal, kw_only=True):
    """A refusal, and the digest that ties it to the one before."""

    digest: Digest


class Chain(Struct):
    """Digests of lines in order: each is over the one before, as text, and its line.

    A line's form is its JSON without `digest`, keys sorted, no blanks, UTF-8 (RFC 8785).
    """

    opening: Annotated[
        Digest, Meta(description="Before the first line here; of part 1, the card's own.")
    ]
    closing: Annotated[Digest, Meta(description="Of the last line here.")]


class Proof(Struct):
    """What makes an altered, a missing and a moved line show."""

    algorithm: Annotated[Literal["sha-256"], Meta(description="Of all digests here.")]
    movements: Chain
    refusals: Chain
    head: Annotated[
        Digest,
        Meta(description="Of all the rest: this JSON without `movements`, `refusals` and `proof`."),
    ]


class RecordHead(Struct):
    """All of a record but its lines and their proof."""

    as_of: Instant
    merchant: RecordedMerchant
    card: RecordedCard
    contract: Contract
    stores: list[RecordedStore]
    lots: Annotated[list[RecordedLot], Meta(description="What the balance is made of.")]
    totals: Annotated[
        list[RecordedTotal], Meta(description="Over the card's whole life, not this part alone.")
    ]
    movement_count: Annotated[int, Meta(description="Movements of the card, to the last one.")]
    refusal_count: Annotated[int, Meta(description="Refused attempts of the card.")]
    meanings: Annotated[
        dict[str, str],
        Meta(description="What the reasons of the refusals here mean, by code, in `language`."),
    ]
    language: Language
    next_cursor: str | None


class CardRecord(RecordHead, kw_only=True):
    """Everything about a card as of one instant; a long one comes in parts.

    Each part is true as of its own `as_of`; the last one's sums are those of all lines.
    """

    movements: list[RecordedMovement]
    refusals: list[RecordedRefusal]
    proof: Proof
