"""How a card's image changes when value moves on it; shared by every decision."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from schemas.problems import Reason
from service.kernel.problems import because
from service.ledger.decisions.outcome import NewId
from service.ledger.reasons import CARD_EXPIRED, CARD_FROZEN, CARD_NOT_ACTIVE
from service.ledger.state import Card, Change, Lot, Posting

PRINCIPAL = "principal"


def effective_status(card: Card, now: datetime) -> str:
    """The card's state at `now`: an active card past its validity is expired, its balance kept."""
    if card.status == "active" and card.expires_at is not None and card.expires_at <= now:
        return "expired"
    return card.status


def state_reasons(card: Card, now: datetime) -> list[Reason]:
    """Why value can't leave or enter this card in its state: none when it is active."""
    blocking = {"created": CARD_NOT_ACTIVE, "frozen": CARD_FROZEN, "expired": CARD_EXPIRED}
    reason = blocking.get(effective_status(card, now))
    return [because(reason, card_id=card.card_id)] if reason else []


def is_lapsed(lot: Lot, now: datetime) -> bool:
    """Whether a lot's time is over; lapsed means lapsed, posted or not."""
    return lot.expires_at is not None and lot.expires_at <= now


def spendable(card: Card, now: datetime) -> tuple[int, int]:
    """Principal and bonus that can be spent at `now`, in minor units."""
    principal, bonus = card.principal, card.bonus
    for lot in card.lots:
        if lot.remaining and is_lapsed(lot, now):
            if lot.account == PRINCIPAL:
                principal -= lot.remaining
            else:
                bonus -= lot.remaining
    return principal, bonus


def moved(
    card: Card, now: datetime, deltas: Mapping[str, int], new_lots: Sequence[Lot] = ()
) -> tuple[Card, list[tuple[str, int, int]]]:
    """The card one version on, with each lot changed by its delta.

    And (lot, remaining before, remaining after) of the changed lots.
    """
    principal, bonus = card.principal, card.bonus
    lots: list[Lot] = []
    images: list[tuple[str, int, int]] = []
    for lot in card.lots:
        delta = deltas.get(lot.lot_id)
        if delta is None:
            lots.append(lot)
            continue
        after = lot.remaining + delta
        images.append((lot.lot_id, lot.remaining, after))
        lots.append(Lot(lot.lot_id, lot.account, lot.amount, after, lot.expires_at, lot.expires_on))
        if lot.account == PRINCIPAL:
            principal += delta
        else:
            bonus += delta
    for lot in new_lots:
        lots.append(lot)
        if lot.account == PRINCIPAL:
            principal += lot.remaining
        else:
            bonus += lot.remaining
    image = replace(
        card,
        version=card.version + 1,
        principal=principal,
        bonus=bonus,
        last_operation_at=now,
        lots=tuple(lots),
    )
    return image, images


def lapse(card: Card, now: datetime, new_id: NewId) -> tuple[Card, tuple[Change, ...]]:
    """The card with its lapsed lots emptied, and the operation that posts it.

    There is none when nothing lapsed.
    """
    gone = [
        lot
        for lot in card.lots
        if lot.remaining and lot.expires_at is not None and lot.expires_at <= now
    ]
    if not gone:
        return card, ()
    operation_id = new_id("opn")
    image, lots = moved(card, now, {lot.lot_id: -lot.remaining for lot in gone})
    change = Change(
        operation_id=operation_id,
        kind="lapse",
        amount=sum(lot.remaining for lot in gone),
        card_before=card,
        card=image,
        postings=[Posting(lot.account, "lapsed", lot.remaining, lot.lot_id) for lot in gone],
        new_lots=[],
        lots=lots,
        target_id=None,
        redemption_before=None,
        redemption=None,
        request_no=None,
        details=None,
        occurred_at=max(lot.expires_at for lot in gone if lot.expires_at is not None),
    )
    return image, (change,)
