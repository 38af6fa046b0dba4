"""What a restore to an instant must hold: pure, so that it can be seen to fail.

PostgreSQL repeats its log up to the first commit stamped later than the instant. What was answered
before the instant was committed before it, ahead of any later stamp: it must be there. What was
sent after it is stamped later: it must not. What was under way may be there or not.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Struct

from tests.crash import checker
from tests.crash.checker import HashOf
from tests.crash.journal import Entry, Finding
from tests.crash.tables import Tables


class Mark(Struct, frozen=True):
    """An instant, with the monotonic time of the journals just before and just after it."""

    before: float
    at: datetime
    after: float

    @classmethod
    def now(cls) -> "Mark":
        """This instant."""
        before, at = time.monotonic(), datetime.now(UTC)
        return cls(before, at, time.monotonic())


class Split(Struct, frozen=True):
    """Entries by what a restore to a mark owes them."""

    answered: list[Entry]
    under_way: list[Entry]
    later: list[Entry]


def split(entries: list[Entry], mark: Mark) -> Split:
    """Each entry in its place."""
    answered = [e for e in entries if e.returned_at and e.returned_at <= mark.before]
    later = [e for e in entries if not e.invoked_at or e.invoked_at >= mark.after]
    placed = {id(entry) for entry in (*answered, *later)}
    return Split(answered, [e for e in entries if id(e) not in placed], later)


def check(
    journal: list[Entry], reads: list[Entry], tables: Tables, hash_of: HashOf, mark: Mark
) -> list[Finding]:
    """What is in the tables and the mark does not allow, or is not there and it demands."""
    parts = split(journal, mark)
    seen = split(reads, mark).answered
    blocked = list(_blocked(parts))
    known = [*parts.under_way, *blocked]
    found = checker.check(parts.answered, seen, tables, hash_of, known)
    for entry in blocked:
        row = tables.keys.get(hash_of(entry.key))
        if row is not None and row.outcome != "tombstone":
            detail = f"sent later, its key's row says {row.outcome}"
            found.append(Finding("breach", f"{entry.kind} {entry.key}", detail))
    return found


def _blocked(parts: Split) -> Iterator[Entry]:
    """What was sent later, and whose key a reversal that was sent before may have blocked."""
    later = {id(entry) for entry in parts.later}
    for entry in (*parts.answered, *parts.under_way):
        if entry.kind == "reversal" and entry.target is not None and id(entry.target) in later:
            yield entry.target
