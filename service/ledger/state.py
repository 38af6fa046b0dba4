"""What a decision is made on: plain Structs, never changed once made.

Nothing here knows a database or HTTP. A `View` is everything one command depends on, as of one
snapshot (or folded on top of it by the batch). Terms (store, template) are configuration, good for
one epoch; card, lots and redemption are versioned rows.
"""

from datetime import date, datetime, time
from typing import Any

from msgspec import Struct

from schemas.common import Account
from schemas.policies import InForce
from schemas.redemptions import Line, RedemptionStatus
from schemas.templates import CardTemplateCreate
from service.rules import policies
from service.rules.ladder import Step


class Lot(Struct, frozen=True):
    """One credit: `remaining` of `amount` minor units.

    Spendable before `expires_at`; None: for ever.
    """

    lot_id: str
    account: Account
    amount: int
    remaining: int
    expires_at: datetime | None
    expires_on: date | None


class Card(Struct, frozen=True):
    """A card at `version`, with its lots that hold value.

    `principal` and `bonus` include value that has lapsed but whose lapse isn't posted yet.
    """

    card_id: str
    card_number: str
    template_id: str
    template_version: int
    currency: str
    status: str
    version: int
    principal: int
    bonus: int
    activated_at: datetime | None
    expires_at: datetime | None
    expires_on: date | None
    last_operation_at: datetime
    created_at: datetime
    lots: tuple[Lot, ...]


class Redemption(Struct, frozen=True):
    """A captured redemption and what has been given back.

    `allocation`: (lot, account, amount) in the order drawn.
    """

    redemption_id: str
    card_id: str
    store_id: str
    request_no: str
    status: RedemptionStatus
    version: int
    currency: str
    amount: int
    refunded: int
    lines: list[Line]
    refunded_lines: dict[str, int]
    decided_at: datetime
    business_date: date
    allocation: tuple[tuple[str, Account, int], ...]


class Target(Struct, frozen=True):
    """An earlier operation that a reversal points at, with the lots it credited."""

    operation_id: str
    kind: str
    status: str
    card_id: str | None
    store_id: str | None
    amount: int
    actor_id: str | None
    reversed_by: str | None
    credited: tuple[tuple[str, Account, int], ...]


class Key(Struct, frozen=True):
    """A used idempotency key: what it led to, and the exact answer."""

    key_hash: bytes
    fingerprint: bytes
    outcome: str
    operation_id: str | None
    http_status: int
    answer: bytes | None
    created_at: datetime


class StoreTerms(Struct, frozen=True):
    """A store as the rules need it; `closed_through`: the last business date that is closed.

    `policy`: what headquarters, its areas and the store itself let it do.
    """

    store_id: str
    legal_entity: str
    time_zone: str
    day_cutoff: time
    status: str
    closed_through: date | None
    policy: InForce = policies.OPEN


class TemplateTerms(Struct, frozen=True):
    """A published template version, with what the rules look up prepared once."""

    template_id: str
    version: int
    rules: CardTemplateCreate
    store_ids: frozenset[str]
    steps: tuple[Step, ...]


class Counter(Struct, frozen=True):
    """A counter that many cards share."""

    used: int
    cap: int | None


class View(Struct):
    """All one command depends on."""

    now: datetime
    business_date: date
    time_zone: str
    quote_key: bytes
    template: TemplateTerms | None
    store: StoreTerms | None
    card: Card | None
    # Id of the redemption that already carries this store and request number.
    request_no_taken: str | None
    redemption: Redemption | None
    target_key: Key | None
    target: Target | None
    counter: Counter | None


class Posting(Struct, frozen=True):
    """Value moving: exactly one side is an account of the card."""

    from_account: str
    to_account: str
    amount: int
    lot_id: str


class Change(Struct):
    """One accepted operation's effect on one card (None: it touches no card)."""

    operation_id: str
    kind: str
    amount: int
    card_before: Card | None
    card: Card | None
    postings: list[Posting]
    new_lots: list[Lot]
    # (lot, remaining before, remaining after) of lots that existed.
    lots: list[tuple[str, int, int]]
    target_id: str | None
    redemption_before: Redemption | None
    redemption: Redemption | None
    request_no: str | None
    details: dict[str, Any] | None
    # When it happened, if that was before the decision: a lapse happens at the lot's expiry.
    occurred_at: datetime | None = None
