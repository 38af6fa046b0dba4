"""The store an operation happens at."""

from schemas.problems import Reason
from service.kernel.problems import ProblemError, because
from service.ledger.commands import Command
from service.ledger.reasons import STORE_CLOSED, STORE_UNKNOWN, UNPROCESSABLE
from service.ledger.state import View
from service.rules import policies
from service.rules.policies import Kind


def store_problem(view: View, command: Command) -> ProblemError | None:
    """A store that isn't one of the merchant's is a contradiction, not a refusal.

    Without one it is the merchant's own office.
    """
    if command.store_id is not None and view.store is None:
        reason = because(STORE_UNKNOWN, path="$.store_id")
        return ProblemError(UNPROCESSABLE, reasons=[reason])
    return None


def store_reasons(view: View, kind: Kind, amount: int) -> list[Reason]:
    """A closed store takes and gives no value; an open one what its policy lets it."""
    assert view.store is not None
    reasons = [because(STORE_CLOSED)] if view.store.status != "active" else []
    return reasons + policies.refusals(view.store.policy, kind, amount)


def issue_reasons(view: View) -> list[Reason]:
    """Where cards aren't sold none become anybody's; headquarters itself may always make them."""
    return [] if view.store is None else policies.refusals(view.store.policy, "issue")
