"""Reverse by key (冲正): undo what is left of what a key did, or block the key for ever."""

from typing import Any

from msgspec.structs import replace

from schemas.problems import Reason
from service.kernel.problems import FORBIDDEN, ProblemError, because
from service.ledger.commands import Command, Reverse
from service.ledger.decisions.movement import lapse, moved
from service.ledger.decisions.outcome import Accepted, NewId, Refused, Rejected
from service.ledger.decisions.refunds import give
from service.ledger.reasons import (
    NOT_REVERSIBLE,
    OTHER_CLIENT,
    REVERSAL_REFUSED,
    STORE_NOT_ALLOWED,
    VALUE_SPENT,
)
from service.ledger.state import Change, Posting, Target, View

# With it other clients' requests can be reversed too.
ANY_CLIENT = "reversals:any"


def reverse(
    view: View, command: Command, intent: Reverse, new_id: NewId
) -> Accepted | Refused | Rejected:
    """Blocked (key never seen), nothing to reverse, or reversed.

    Never twice, and never a reversal of a reversal.
    """
    key = view.target_key
    if key is None or key.outcome == "tombstone":
        return _without_effect("blocked", None, new_id)
    assert view.target is not None
    target = view.target
    problem = _problem(command, intent, target)
    if problem is not None:
        return Rejected(problem)
    if key.outcome == "refused":
        return _without_effect("nothing_to_reverse", key.operation_id, new_id)
    if target.kind == "redeem":
        return _redemption(view, intent, new_id)
    if target.kind == "top_up":
        return _top_up(view, intent, target, new_id)
    reason = because(NOT_REVERSIBLE, allowed=["redeem", "top_up"])
    return Refused(REVERSAL_REFUSED, [reason], "reversal", target_id=target.operation_id)


def _problem(command: Command, intent: Reverse, target: Target) -> ProblemError | None:
    credential = command.credential
    any_client = ANY_CLIENT in credential.scopes and credential.acts_for(
        ANY_CLIENT, target.store_id
    )
    if target.actor_id != credential.actor_id and not any_client:
        return ProblemError(FORBIDDEN, reasons=[because(OTHER_CLIENT, allowed=[ANY_CLIENT])])
    if not credential.acts_for(command.scope, target.store_id):
        return ProblemError(STORE_NOT_ALLOWED)
    return None


def _redemption(view: View, intent: Reverse, new_id: NewId) -> Accepted:
    assert view.redemption is not None
    redemption = view.redemption
    left = redemption.amount - redemption.refunded
    if left == 0:
        return _without_effect("nothing_to_reverse", redemption.redemption_id, new_id)
    after = replace(
        redemption,
        version=redemption.version + 1,
        refunded=redemption.amount,
        status="refunded" if redemption.refunded else "voided",
    )
    details: dict[str, Any] = {"outcome": "reversed", "reason": intent.reason}
    return give(view, "reversal", after, left, new_id, new_id("opn"), details)


def _top_up(view: View, intent: Reverse, target: Target, new_id: NewId) -> Accepted | Refused:
    assert view.card is not None
    if target.reversed_by is not None:
        return _without_effect("nothing_to_reverse", target.operation_id, new_id)
    card, lapses = lapse(view.card, view.now, new_id)
    remaining = {lot.lot_id: lot.remaining for lot in card.lots}
    gone = sum(amount - remaining[lot_id] for lot_id, _, amount in target.credited)
    if gone:
        reason: Reason = because(VALUE_SPENT, card_id=card.card_id, missing_minor=gone)
        return Refused(REVERSAL_REFUSED, [reason], "reversal", target.amount, target.operation_id)
    image, lots = moved(card, view.now, {lot_id: -amount for lot_id, _, amount in target.credited})
    source = {"principal": "tender", "bonus": "promotion"}
    change = Change(
        operation_id=new_id("opn"),
        kind="reversal",
        amount=target.amount,
        card_before=card,
        card=image,
        postings=[
            Posting(account, source[account], amount, lot_id)
            for lot_id, account, amount in target.credited
        ],
        new_lots=[],
        lots=lots,
        target_id=target.operation_id,
        redemption_before=None,
        redemption=None,
        request_no=None,
        details={"outcome": "reversed", "reason": intent.reason},
    )
    return Accepted((*lapses, change))


def _without_effect(outcome: str, target_id: str | None, new_id: NewId) -> Accepted:
    change = Change(
        operation_id=new_id("opn"),
        kind="reversal",
        amount=0,
        card_before=None,
        card=None,
        postings=[],
        new_lots=[],
        lots=[],
        target_id=target_id,
        redemption_before=None,
        redemption=None,
        request_no=None,
        details={"outcome": outcome},
    )
    return Accepted((change,))
