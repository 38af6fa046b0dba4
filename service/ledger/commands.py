"""Commands: what somebody wants to happen, already typed and authenticated."""

from msgspec import Struct

from schemas.common import Till
from schemas.redemptions import Line
from schemas.top_ups import Tender
from service.kernel.auth import Credential
from service.kernel.tracing import Trace


class Issue(Struct, frozen=True):
    """Make a card with this number of the template; `activate` at once for a virtual card."""

    template_id: str
    card_id: str
    card_number: str
    activate: bool


class Activate(Struct, frozen=True):
    """created → active; a validity after activation starts."""

    reason: str | None


class Freeze(Struct, frozen=True):
    """active → frozen: nothing is redeemed or topped up until unfrozen."""

    reason: str | None


class Unfreeze(Struct, frozen=True):
    """frozen → active."""

    reason: str | None


class TopUp(Struct, frozen=True):
    """Credit what was paid, and the ladder's bonus."""

    amount: int
    currency: str
    tender: Tender
    payment_reference: str | None


class Redeem(Struct, frozen=True):
    """Take an amount.

    `by_number`: the caller proves the card by its number, so an inactive one is answered as
    unknown.
    """

    request_no: str
    amount: int
    currency: str
    lines: list[Line]
    by_number: bool
    quote_token: str | None
    expected_payable: int | None


class Refund(Struct, frozen=True):
    """Give back `amount`, or by line, or (neither) all that is left."""

    redemption_id: str
    amount: int | None
    currency: str | None
    lines: dict[str, int]
    reason: str | None


class Void(Struct, frozen=True):
    """Undo a whole redemption on its business date."""

    redemption_id: str
    reason: str | None


class Reverse(Struct, frozen=True):
    """Undo what the key `target_key_hash` did.

    `operation_id` is what it was found to have done when it was looked up.
    """

    target_key_hash: bytes
    operation_id: str | None
    reason: str | None


Intent = Issue | Activate | Freeze | Unfreeze | TopUp | Redeem | Refund | Void | Reverse


class Command(Struct):
    """An intent with who, where and under which key.

    `card_number` finds the card, and keeps two batches from being about it at once; "" when no card
    is known (a reversal of a key not seen).
    """

    intent: Intent
    credential: Credential
    scope: str
    card_number: str
    store_id: str | None
    till: Till | None
    key_hash: bytes
    fingerprint: bytes
    request_id: str
    trace: Trace | None = None
