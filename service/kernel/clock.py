"""Real time, in one replaceable place. Decisions on value use the clock of the batch's read, not this one (rule 11)."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def real_time() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
