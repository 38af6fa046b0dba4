"""What the clients know: every request with its key, when it was sent, and what came back."""

import json
from typing import Any, Literal

from msgspec import Struct

from tests.harness.client import Response

# ok and refused are definite and stored; blocked: the key was reversed before it arrived; odd: an
# answer that the contract doesn't foresee here; unknown: no answer, or one that says so.
Outcome = Literal["ok", "refused", "blocked", "odd", "unknown"]

REFUSALS = frozenset(
    {
        "operation_refused",
        "redemption_refused",
        "refund_refused",
        "reversal_refused",
        "duplicate_request_no",
    }
)


class Finding(Struct, frozen=True):
    """Something that must not be. `sort` is what the summary counts."""

    sort: Literal["lost", "twice", "breach"]
    subject: str
    detail: str


class Entry(Struct):
    """One intent from its first send to its definite answer. Times are monotonic seconds."""

    kind: str  # as in operation.kind; "read" has no key
    key: str
    path: str
    body: dict[str, Any]
    amount: int | None = None  # minor units, where the request names them
    target: "Entry | None" = None  # what a refund, void or reversal undoes
    again: bool = False  # a copy: the same key is sent by another entry too
    invoked_at: float = 0.0
    returned_at: float = 0.0
    outcome: Outcome = "unknown"
    status: int = 0
    answer: bytes = b""
    answered_id: str = ""  # the operation's id, where the answer shows it
    card_id: str = ""  # with version and balances: of the card after it, where the answer shows it
    version: int = 0
    balances: tuple[int, int] = (0, 0)  # principal and bonus, minor units

    def settle(self, answer: Response, outcome: Outcome, at: float) -> None:
        """Keep a definite answer and what it says of the card."""
        self.outcome, self.status, self.answer, self.returned_at = (
            outcome,
            answer.status,
            answer.body,
            at,
        )
        if outcome != "ok":
            return
        said = answer.json()
        card = said.get("card", said)
        if card is not None:
            self.card_id = card.get("card_id") or card["id"]
            self.version = card["version"]
            self.balances = (card["balances"]["principal"], card["balances"]["bonus"])
        self.answered_id = said["id"] if card is not said else ""


def outcome_of(answer: Response) -> Outcome:
    """What an answer says about its request (INV-H8: every answer falls into a declared class)."""
    if answer.status in (200, 201):
        return "ok"
    problem = json.loads(answer.body)
    code, retry = problem["code"], problem["retry"]
    if code in REFUSALS:
        return "refused"
    if code == "reversed_before_arrival":
        return "blocked"
    again = answer.status >= 500 or code == "request_in_progress"
    return "unknown" if again and retry == "same_key" else "odd"
