"""What a decision can be, and the reasons it gives."""

from collections.abc import Callable

from msgspec import Struct

from schemas.problems import Reason
from service.kernel.problems import Code, ProblemError
from service.ledger.state import Change

NewId = Callable[[str], str]


class Accepted(Struct, frozen=True):
    """Changes to post, in order; the last one is the command's own, those before it are lapses."""

    changes: tuple[Change, ...]

    @property
    def own(self) -> Change:
        """The change of the command itself."""
        return self.changes[-1]


class Refused(Struct, frozen=True):
    """A business refusal with every reason at once; it becomes an operation without postings."""

    code: Code
    reasons: list[Reason]
    kind: str
    amount: int = 0
    target_id: str | None = None
    request_no: str | None = None


class Rejected(Struct, frozen=True):
    """An answer that leaves no trace."""

    error: ProblemError
