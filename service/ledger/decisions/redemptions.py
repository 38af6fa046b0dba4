"""Redeem: may this card pay this amount here and now, and from which lots?"""

from schemas.problems import Reason
from service.kernel.problems import ProblemError, because
from service.ledger import quotes
from service.ledger.commands import Command, Redeem
from service.ledger.decisions.movement import (
    effective_status,
    lapse,
    moved,
    spendable,
    state_reasons,
)
from service.ledger.decisions.outcome import Accepted, NewId, Refused, Rejected
from service.ledger.decisions.stores import store_problem, store_reasons
from service.ledger.reasons import (
    CARD_NOT_FOUND,
    CURRENCY_MISMATCH,
    DUPLICATE_REQUEST_NO,
    INSUFFICIENT_BALANCE,
    PRICE_MOVED,
    REDEMPTION_REFUSED,
    REQUEST_NO_TAKEN,
    STORE_EXCLUDED,
)
from service.ledger.state import Card, Change, Posting, Redemption, View
from service.rules import stores
from service.rules.drawdown import Source, draw


def redeem(
    view: View, command: Command, intent: Redeem, new_id: NewId
) -> Accepted | Refused | Rejected:
    """Accepted with the draw-down in the template's order, or every reason against it."""
    card = view.card
    if card is None or (intent.by_number and effective_status(card, view.now) == "created"):
        return Rejected(ProblemError(CARD_NOT_FOUND))
    problem = store_problem(view, command)
    if problem is not None:
        return Rejected(problem)
    reasons = _reasons(view, card, intent)
    if reasons:
        taken = view.request_no_taken is not None
        code = DUPLICATE_REQUEST_NO if taken else REDEMPTION_REFUSED
        return Refused(code, reasons, "redeem", intent.amount, request_no=intent.request_no)
    card, lapses = lapse(card, view.now, new_id)
    return Accepted((*lapses, _change(view, card, intent, new_id("rdm"))))


def payable(intent: Redeem) -> int:
    """What the card pays, in minor units: a stored-value card pays the amount as it is."""
    return intent.amount


def _reasons(view: View, card: Card, intent: Redeem) -> list[Reason]:
    assert view.template is not None and view.store is not None
    reasons = state_reasons(card, view.now)
    scope = view.template.rules.stores
    if not stores.allowed(view.store.store_id, scope.mode, view.template.store_ids):
        reasons.append(because(STORE_EXCLUDED, card_id=card.card_id))
    reasons += store_reasons(view, "redemption", payable(intent))
    if intent.currency != card.currency:
        reasons.append(because(CURRENCY_MISMATCH, allowed=[card.currency]))
    else:
        missing = payable(intent) - sum(spendable(card, view.now))
        if missing > 0:
            reasons.append(
                because(INSUFFICIENT_BALANCE, card_id=card.card_id, missing_minor=missing)
            )
    if view.request_no_taken is not None:
        reasons.append(because(REQUEST_NO_TAKEN, existing_id=view.request_no_taken))
    if intent.expected_payable is not None and intent.expected_payable != payable(intent):
        reasons.append(because(PRICE_MOVED))
    if intent.quote_token is not None:
        reasons += quotes.reasons(view, card, intent, payable(intent))
    return reasons


def _change(view: View, card: Card, intent: Redeem, redemption_id: str) -> Change:
    assert view.template is not None and view.store is not None
    sources = [
        Source(lot.lot_id, lot.account, lot.remaining, lot.expires_at)
        for lot in card.lots
        if lot.remaining
    ]
    drawn = draw(payable(intent), sources, view.template.rules.drawdown_policy)
    image, lots = moved(card, view.now, {source.lot_id: -amount for source, amount in drawn})
    redemption = Redemption(
        redemption_id=redemption_id,
        card_id=card.card_id,
        store_id=view.store.store_id,
        request_no=intent.request_no,
        status="captured",
        version=1,
        currency=card.currency,
        amount=intent.amount,
        refunded=0,
        lines=intent.lines,
        refunded_lines={},
        decided_at=view.now,
        business_date=view.business_date,
        allocation=tuple((source.lot_id, source.account, amount) for source, amount in drawn),
    )
    return Change(
        operation_id=redemption_id,
        kind="redeem",
        amount=intent.amount,
        card_before=card,
        card=image,
        postings=[
            Posting(source.account, "sales", amount, source.lot_id) for source, amount in drawn
        ],
        new_lots=[],
        lots=lots,
        target_id=None,
        redemption_before=None,
        redemption=redemption,
        request_no=intent.request_no,
        details=None,
    )
