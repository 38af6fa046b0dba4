"""From a decision to the exact bytes of its answer.

They are stored with the key and replayed as they are.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

import msgspec

from schemas import cards as wire_cards
from schemas import redemptions as wire
from schemas.common import Account, Amount, Total
from schemas.reversals import Reversal
from schemas.top_ups import TopUp
from service.kernel import problems
from service.ledger.commands import Command
from service.ledger.commands import TopUp as TopUpIntent
from service.ledger.decisions.movement import effective_status, is_lapsed, spendable
from service.ledger.decisions.outcome import Accepted, Refused
from service.ledger.state import Card, Change, Lot, Redemption, View
from service.rules.drawdown import Source, order

_encode = msgspec.json.Encoder().encode


def accepted(view: View, command: Command, decision: Accepted) -> tuple[int, bytes]:
    """Status and body of a command that was accepted."""
    change = decision.own
    status = 200 if change.kind in ("activate", "freeze", "unfreeze") else 201
    return status, _encode(_BODIES[change.kind](view, command, change))


def refused(command: Command, decision: Refused) -> tuple[int, bytes]:
    """Status and body of a business refusal."""
    body = problems.render(decision.code, command.request_id, decision.code.mend, decision.reasons)
    return decision.code.status, body


def balances(card: Card, now: datetime) -> wire_cards.Balances:
    """What can be spent at `now`."""
    principal, bonus = spendable(card, now)
    return wire_cards.Balances(principal, bonus, principal + bonus, card.currency)


def masked(card_number: str) -> str:
    """The number as receipts and lists show it."""
    return f"{card_number[:4]} **** **** {card_number[-4:]}"


def card_after(card: Card, now: datetime) -> wire_cards.CardAfter:
    """A card right after an operation."""
    return wire_cards.CardAfter(
        card.card_id, masked(card.card_number), card.version, balances(card, now)
    )


def card(card: Card, now: datetime) -> wire_cards.Card:
    """A card as of its version."""
    return wire_cards.Card(**_card_fields(card, now))


def card_detail(card: Card, now: datetime) -> wire_cards.CardDetail:
    """A card with its spendable lots."""
    open_lots = {lot.lot_id: lot for lot in card.lots if lot.remaining and not is_lapsed(lot, now)}
    ordered = order(
        Source(lot.lot_id, lot.account, lot.remaining, lot.expires_at) for lot in open_lots.values()
    )
    return wire_cards.CardDetail(
        **_card_fields(card, now), lots=[_lot(open_lots[source.lot_id]) for source in ordered]
    )


def allocations(card_id: str, entries: Iterable[tuple[str, Account, int]]) -> list[wire.Allocation]:
    """(lot, account, amount) as the wire shows it."""
    return [wire.Allocation(card_id, account, lot_id, value) for lot_id, account, value in entries]


def redemption(
    state: Redemption, after: wire_cards.CardAfter | None, recorded_at: datetime
) -> wire.Redemption:
    """A captured redemption."""
    return wire.Redemption(
        id=state.redemption_id,
        status=state.status,
        request_no=state.request_no,
        store_id=state.store_id,
        business_date=state.business_date,
        recorded_at=recorded_at,
        amount=Amount(state.amount, state.currency),
        refunded=Total(state.refunded, state.currency),
        allocations=allocations(state.card_id, state.allocation),
        lines=state.lines,
        card=after,
        reasons=[],
    )


def _card_fields(card: Card, now: datetime) -> dict[str, Any]:
    return {
        "id": card.card_id,
        "masked_number": masked(card.card_number),
        "template_id": card.template_id,
        "template_version": card.template_version,
        "status": effective_status(card, now),
        "version": card.version,
        "balances": balances(card, now),
        "activated_at": card.activated_at,
        "expires_on": card.expires_on,
        "created_at": card.created_at,
    }


def _lot(lot: Lot) -> wire_cards.Lot:
    return wire_cards.Lot(lot.lot_id, lot.account, lot.amount, lot.remaining, lot.expires_on)


def _redeem(view: View, command: Command, change: Change) -> wire.Redemption:
    assert change.redemption is not None and change.card is not None
    return redemption(change.redemption, card_after(change.card, view.now), view.now)


def _top_up(view: View, command: Command, change: Change) -> TopUp:
    intent = command.intent
    assert isinstance(intent, TopUpIntent) and change.card is not None and view.store is not None
    bonus = sum(lot.amount for lot in change.new_lots if lot.account == "bonus")
    return TopUp(
        id=change.operation_id,
        status="accepted",
        paid=Total(change.amount, change.card.currency),
        bonus=Total(bonus, change.card.currency),
        tender=intent.tender,
        payment_reference=intent.payment_reference,
        store_id=view.store.store_id,
        business_date=view.business_date,
        recorded_at=view.now,
        lots=[_lot(lot) for lot in change.new_lots],
        card=card_after(change.card, view.now),
    )


def _issue(view: View, command: Command, change: Change) -> wire_cards.IssuedCard:
    assert change.card is not None
    return wire_cards.IssuedCard(
        **_card_fields(change.card, view.now), card_number=change.card.card_number
    )


def _card(view: View, command: Command, change: Change) -> wire_cards.Card:
    assert change.card is not None
    return card(change.card, view.now)


def _refund(view: View, command: Command, change: Change) -> wire.Refund:
    assert change.redemption is not None and change.card is not None
    after = change.redemption
    return wire.Refund(
        id=change.operation_id,
        kind="void" if change.kind == "void" else "refund",
        redemption_id=after.redemption_id,
        redemption_status=after.status,
        amount=Amount(change.amount, after.currency),
        left=Total(after.amount - after.refunded, after.currency),
        allocations=_given(change),
        business_date=view.business_date,
        recorded_at=view.now,
        card=card_after(change.card, view.now),
    )


def _reversal(view: View, command: Command, change: Change) -> Reversal:
    assert change.details is not None
    after = change.card
    return Reversal(
        id=change.operation_id,
        outcome=change.details["outcome"],
        target_id=change.target_id,
        amount=Total(change.amount, after.currency) if after else None,
        allocations=_given(change),
        recorded_at=view.now,
        card=card_after(after, view.now) if after else None,
    )


def _given(change: Change) -> list[wire.Allocation]:
    entries = []
    for posting in change.postings:
        to_card = posting.to_account in ("principal", "bonus")
        account = cast(Account, posting.to_account if to_card else posting.from_account)
        entries.append((posting.lot_id, account, posting.amount))
    return allocations(change.card.card_id, entries) if change.card else []


_BODIES: dict[str, Any] = {
    "redeem": _redeem,
    "top_up": _top_up,
    "issue": _issue,
    "activate": _card,
    "freeze": _card,
    "unfreeze": _card,
    "refund": _refund,
    "void": _refund,
    "reversal": _reversal,
}
