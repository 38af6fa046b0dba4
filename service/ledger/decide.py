"""The pure heart: view and command in, what happens or why not out.

    decide(view, command, new_id) -> Accepted(changes) | Refused(reasons) | Rejected(error)

Accepted: the changes to post, lapses first. Refused: a business refusal, recorded under the key and
sticky. Rejected: never stored (unknown card, foreign store, contradiction).

No database, no framework, no clock of its own. Quote and redemption are the same code. Design
section 3.
"""

from collections.abc import Callable

from service.ledger.commands import (
    Activate,
    Command,
    Freeze,
    Issue,
    Redeem,
    Refund,
    Reverse,
    TopUp,
    Unfreeze,
    Void,
)
from service.ledger.decisions import cards, redemptions, refunds, reversals, top_ups
from service.ledger.decisions.outcome import Accepted, NewId, Refused, Rejected
from service.ledger.state import View

Decision = Accepted | Refused | Rejected

_DECIDERS: dict[type, Callable[..., Decision]] = {
    Redeem: redemptions.redeem,
    TopUp: top_ups.top_up,
    Refund: refunds.refund,
    Void: refunds.void,
    Issue: cards.issue,
    Activate: cards.activate,
    Freeze: cards.freeze,
    Unfreeze: cards.unfreeze,
    Reverse: reversals.reverse,
}


def decide(view: View, command: Command, new_id: NewId) -> Decision:
    """What this command does in this state."""
    return _DECIDERS[type(command.intent)](view, command, command.intent, new_id)
