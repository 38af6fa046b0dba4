"""The store an operation happens at."""

from schemas.problems import Reason
from service.kernel.problems import ProblemError, because
from service.ledger.reasons import STORE_CLOSED, STORE_UNKNOWN, UNPROCESSABLE
from service.ledger.state import View


def store_problem(view: View) -> ProblemError | None:
    """A store that isn't one of the merchant's is a contradiction, not a refusal."""
    if view.store is None:
        reason = because(STORE_UNKNOWN, path="$.store_id")
        return ProblemError(UNPROCESSABLE, reasons=[reason])
    return None


def store_reasons(view: View) -> list[Reason]:
    """A closed store takes and gives no value."""
    return (
        [because(STORE_CLOSED)] if view.store is not None and view.store.status != "active" else []
    )
