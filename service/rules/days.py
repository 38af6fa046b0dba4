"""Business days that close: which day a sale falls on, and what a second closing adds."""

from collections.abc import Iterable
from datetime import date, timedelta

from msgspec.structs import replace

from schemas.days import DayBy, DayLine

_DAY = timedelta(days=1)
_ASKED = {"terminal": "terminal_id", "operator": "operator", "shift": "shift"}


def open_date(day: date, closed_through: date | None) -> date:
    """The date of what happens on `day`: the first one that is open."""
    return day if closed_through is None else max(day, closed_through + _DAY)


def rolled_up(lines: Iterable[DayLine], by: DayBy) -> list[DayLine]:
    """The lines added up, with no more of terminal, operator and shift than is asked for."""
    others = dict.fromkeys((name for each, name in _ASKED.items() if each != by), None)
    return _sums(replace(line, **others) for line in lines)


def added(lines: Iterable[DayLine], before: Iterable[DayLine]) -> list[DayLine]:
    """What `lines` hold more than those before. Operations never change, so it is never less."""
    taken = (replace(line, operations=-line.operations, amount=-line.amount) for line in before)
    return [line for line in _sums([*lines, *taken]) if line.operations]


def _sums(lines: Iterable[DayLine]) -> list[DayLine]:
    """One line for all that are alike but for what they hold, in the order they are listed."""
    sums: dict[DayLine, DayLine] = {}
    for line in lines:
        empty = replace(line, operations=0, amount=0)
        held = sums.get(empty, empty)
        sums[empty] = replace(
            held, operations=held.operations + line.operations, amount=held.amount + line.amount
        )
    return sorted(sums.values(), key=_place)


def _place(line: DayLine) -> tuple[str | bool, ...]:
    names = (line.terminal_id, line.operator, line.shift, line.kind, line.undoes, line.tender)
    return (*(name or "" for name in names), not line.accepted)
