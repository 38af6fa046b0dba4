"""Issue, activate, freeze, unfreeze: the states of a card, from one table of moves."""

from datetime import date, datetime
from typing import Any

from msgspec.structs import replace

from service.kernel.problems import NOT_FOUND, ProblemError, because
from service.ledger.commands import Activate, Command, Freeze, Issue, Unfreeze
from service.ledger.decisions.movement import effective_status, lapse
from service.ledger.decisions.outcome import Accepted, NewId, Refused, Rejected
from service.ledger.decisions.stores import issue_reasons, store_problem
from service.ledger.reasons import (
    CARD_NOT_FOUND,
    CARDS_EXHAUSTED,
    OPERATION_REFUSED,
    TRANSITION_NOT_ALLOWED,
)
from service.ledger.state import Card, Change, View
from service.rules import periods

# (state, move) -> state. Every other move is refused with the list of allowed ones (decisions,
# "Card and template states").
TRANSITIONS: dict[tuple[str, str], str] = {
    ("created", "activate"): "active",
    ("active", "freeze"): "frozen",
    ("frozen", "unfreeze"): "active",
}


def moves(status: str) -> list[str]:
    """The moves a card in this state has."""
    return [move for (state, move) in TRANSITIONS if state == status]


def issue(
    view: View, command: Command, intent: Issue, new_id: NewId
) -> Accepted | Refused | Rejected:
    """A new card at version 1, active at once when asked.

    Refused when the template's max_cards are out, or where the store sells none.
    """
    if view.template is None:
        return Rejected(ProblemError(NOT_FOUND, "There is no such template."))
    if problem := store_problem(view, command):
        return Rejected(problem)
    counter = view.counter
    reasons = issue_reasons(view)
    if counter is not None and counter.cap is not None and counter.used >= counter.cap:
        reasons.append(because(CARDS_EXHAUSTED))
    if reasons:
        return Refused(OPERATION_REFUSED, reasons, "issue")
    expires_at, expires_on = _validity(view) if intent.activate else (None, None)
    card = Card(
        card_id=intent.card_id,
        card_number=intent.card_number,
        template_id=view.template.template_id,
        template_version=view.template.version,
        currency=view.template.rules.currency,
        status="active" if intent.activate else "created",
        version=1,
        principal=0,
        bonus=0,
        activated_at=view.now if intent.activate else None,
        expires_at=expires_at,
        expires_on=expires_on,
        last_operation_at=view.now,
        created_at=view.now,
        lots=(),
    )
    return Accepted((_state_change("issue", None, card, new_id("opn"), None),))


def activate(
    view: View, command: Command, intent: Activate, new_id: NewId
) -> Accepted | Refused | Rejected:
    """created → active; the validity starts now."""
    return _move(view, command, "activate", intent.reason, new_id)


def freeze(
    view: View, command: Command, intent: Freeze, new_id: NewId
) -> Accepted | Refused | Rejected:
    """active → frozen."""
    return _move(view, command, "freeze", intent.reason, new_id)


def unfreeze(
    view: View, command: Command, intent: Unfreeze, new_id: NewId
) -> Accepted | Refused | Rejected:
    """frozen → active."""
    return _move(view, command, "unfreeze", intent.reason, new_id)


def _move(
    view: View, command: Command, move: str, reason: str | None, new_id: NewId
) -> Accepted | Refused | Rejected:
    if view.card is None:
        return Rejected(ProblemError(CARD_NOT_FOUND))
    if problem := store_problem(view, command):
        return Rejected(problem)
    status = effective_status(view.card, view.now)
    reasons = issue_reasons(view) if move == "activate" else []
    if (status, move) not in TRANSITIONS:
        allowed = moves(status)
        reasons.append(because(TRANSITION_NOT_ALLOWED, card_id=view.card.card_id, allowed=allowed))
    if reasons:
        return Refused(OPERATION_REFUSED, reasons, move)
    card, lapses = lapse(view.card, view.now, new_id)
    image = replace(
        card, status=TRANSITIONS[status, move], version=card.version + 1, last_operation_at=view.now
    )
    if move == "activate":
        expires_at, expires_on = _validity(view)
        image = replace(image, activated_at=view.now, expires_at=expires_at, expires_on=expires_on)
    details: dict[str, Any] | None = {"reason": reason} if reason else None
    return Accepted((*lapses, _state_change(move, card, image, new_id("opn"), details)))


def _validity(view: View) -> tuple[datetime | None, date | None]:
    assert view.template is not None
    validity = view.template.rules.validity
    return periods.expiry(view.now, validity.period, view.time_zone) if validity else (None, None)


def _state_change(
    kind: str,
    before: Card | None,
    after: Card,
    operation_id: str,
    details: dict[str, Any] | None,
) -> Change:
    return Change(
        operation_id=operation_id,
        kind=kind,
        amount=0,
        card_before=before,
        card=after,
        postings=[],
        new_lots=[],
        lots=[],
        target_id=None,
        redemption_before=None,
        redemption=None,
        request_no=None,
        details=details,
    )
