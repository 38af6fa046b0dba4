"""Refund and void: value goes back to the lots it came from."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from schemas.problems import Reason
from service.kernel.problems import NOT_FOUND, ProblemError, because
from service.ledger.commands import Command, Refund, Void
from service.ledger.decisions.movement import is_lapsed, lapse, moved
from service.ledger.decisions.outcome import Accepted, NewId, Refused, Rejected
from service.ledger.reasons import (
    CURRENCY_MISMATCH,
    LINE_TOO_MUCH,
    LINE_UNKNOWN,
    REDEMPTION_CLOSED,
    REFUND_REFUSED,
    REFUND_TOO_MUCH,
    STORE_NOT_ALLOWED,
    VOID_AFTER_REFUND,
    VOID_WINDOW_CLOSED,
)
from service.ledger.state import Change, Lot, Posting, Redemption, View
from service.rules import periods
from service.rules.giveback import give_back

_DAY = timedelta(days=1)
_CENTURY_DAYS = 36_525


def refund(
    view: View, command: Command, intent: Refund, new_id: NewId
) -> Accepted | Refused | Rejected:
    """Part, by line, or all that is left; each slicing gives the same lots back in the end."""
    problem = _problem(view, command)
    if problem is not None:
        return Rejected(problem)
    assert view.redemption is not None
    redemption = view.redemption
    left = redemption.amount - redemption.refunded
    amount = (
        sum(intent.lines.values())
        if intent.lines
        else intent.amount
        if intent.amount is not None
        else left
    )
    reasons = _refund_reasons(redemption, intent, amount, left)
    if reasons:
        return Refused(REFUND_REFUSED, reasons, "refund", amount, redemption.redemption_id)
    after = replace(
        redemption,
        version=redemption.version + 1,
        refunded=redemption.refunded + amount,
        status="refunded" if amount == left else "partly_refunded",
        refunded_lines={**redemption.refunded_lines, **_summed(redemption, intent.lines)},
    )
    details: dict[str, Any] = {"reason": intent.reason, "lines": intent.lines}
    return give(view, "refund", after, amount, new_id, new_id("rfd"), details)


def void(
    view: View, command: Command, intent: Void, new_id: NewId
) -> Accepted | Refused | Rejected:
    """All of it, on its business date, while nothing has been refunded."""
    problem = _problem(view, command)
    if problem is not None:
        return Rejected(problem)
    assert view.redemption is not None
    redemption = view.redemption
    reasons: list[Reason] = []
    if redemption.status in ("voided", "refunded"):
        reasons.append(because(REDEMPTION_CLOSED))
    elif redemption.refunded:
        reasons.append(because(VOID_AFTER_REFUND))
    if view.business_date != redemption.business_date:
        reasons.append(because(VOID_WINDOW_CLOSED))
    if reasons:
        return Refused(REFUND_REFUSED, reasons, "void", redemption.amount, redemption.redemption_id)
    after = replace(
        redemption, version=redemption.version + 1, refunded=redemption.amount, status="voided"
    )
    return give(
        view, "void", after, redemption.amount, new_id, new_id("rfd"), {"reason": intent.reason}
    )


def give(
    view: View,
    kind: str,
    after: Redemption,
    amount: int,
    new_id: NewId,
    operation_id: str,
    details: dict[str, Any],
) -> Accepted:
    """Credit `amount` of the redemption back, on a frozen card too.

    `after` is the redemption's next image.
    """
    assert view.card is not None and view.redemption is not None and view.template is not None
    before = view.redemption
    card, lapses = lapse(view.card, view.now, new_id)
    back = give_back(
        before.allocation, view.template.rules.drawdown_policy, before.refunded, amount
    )
    deltas: dict[str, int] = {}
    new_lots: list[Lot] = []
    postings: list[Posting] = []
    lots = {lot.lot_id: lot for lot in card.lots}
    for index, part in back:
        lot_id, account, _ = before.allocation[index]
        if is_lapsed(lots[lot_id], view.now):
            lot = _successor(lots[lot_id], part, before.decided_at, view, new_id)
            new_lots.append(lot)
            lot_id = lot.lot_id
        else:
            deltas[lot_id] = part
        postings.append(Posting("sales", account, part, lot_id))
    image, images = moved(card, view.now, deltas, new_lots)
    change = Change(
        operation_id=operation_id,
        kind=kind,
        amount=amount,
        card_before=card,
        card=image,
        postings=postings,
        new_lots=new_lots,
        lots=images,
        target_id=before.redemption_id,
        redemption_before=before,
        redemption=after,
        request_no=None,
        details=details,
    )
    return Accepted((*lapses, change))


def _problem(view: View, command: Command) -> ProblemError | None:
    if view.redemption is None or view.card is None:
        return ProblemError(NOT_FOUND, "There is no such redemption.")
    if not command.credential.acts_for(command.scope, view.redemption.store_id):
        return ProblemError(STORE_NOT_ALLOWED)
    return None


def _refund_reasons(redemption: Redemption, intent: Refund, amount: int, left: int) -> list[Reason]:
    if left == 0:
        return [because(REDEMPTION_CLOSED)]
    reasons: list[Reason] = []
    if intent.currency is not None and intent.currency != redemption.currency:
        reasons.append(because(CURRENCY_MISMATCH, allowed=[redemption.currency]))
    if amount > left:
        reasons.append(because(REFUND_TOO_MUCH, missing_minor=amount - left))
    totals = {line.line_id: line.total for line in redemption.lines}
    for line_id, value in intent.lines.items():
        path = f"$.lines[{line_id}]"
        if line_id not in totals:
            reasons.append(because(LINE_UNKNOWN, path=path, allowed=sorted(totals)))
        elif value + redemption.refunded_lines.get(line_id, 0) > totals[line_id]:
            reasons.append(because(LINE_TOO_MUCH, path=path))
    return reasons


def _summed(redemption: Redemption, lines: dict[str, int]) -> dict[str, int]:
    return {
        line_id: value + redemption.refunded_lines.get(line_id, 0)
        for line_id, value in lines.items()
    }


def _successor(lot: Lot, amount: int, spent_at: datetime, view: View, new_id: NewId) -> Lot:
    """What replaces a lot that lapsed meanwhile.

    It lives as long as the lot had left when its value was spent.
    """
    assert lot.expires_at is not None
    # No validity is longer than a century; a part of a day left counts as one.
    days_left = min(-((spent_at - lot.expires_at) // _DAY), _CENTURY_DAYS)
    expires_at, expires_on = periods.expiry(view.now, f"P{days_left}D", view.time_zone)
    return Lot(new_id("lot"), lot.account, amount, amount, expires_at, expires_on)
