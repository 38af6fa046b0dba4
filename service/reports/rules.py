"""The export of operations as text: RFC 4180, harmless where a spreadsheet opens it."""

import csv
from collections.abc import Iterable
from datetime import datetime
from io import StringIO
from typing import Any

from schemas.reports import OPERATION_COLUMNS
from service.ledger.answers import masked

# What tills and offices wrote themselves; all else is numbers, dates and words of our own.
FREE_TEXT = (
    "legal_entity", "terminal_id", "operator", "shift", "receipt_no", "request_no",
    "payment_reference",
)  # fmt: skip
# What makes a spreadsheet take a cell for a formula, the wide forms of Chinese keyboards included;
# and our own mark, so that one taken off gives back what was there.
_ACTIVE = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")
_COLUMNS = list(OPERATION_COLUMNS)
_FREE_TEXT = [_COLUMNS.index(name) for name in FREE_TEXT]
_INSTANTS = [_COLUMNS.index(name) for name in ("recorded_at", "occurred_at")]
_CARD = _COLUMNS.index("card")


def header() -> bytes:
    """The first line of every chunk."""
    return _text([_COLUMNS])


def lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """A line for each row of the query `reports.operations`, whose columns are in our order."""
    return _text(_cells(list(row)) for row in rows)


def harmless(text: str) -> str:
    """The text, with ' in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text[:1] in _ACTIVE else text


def _cells(values: list[Any]) -> list[Any]:
    for position in _FREE_TEXT:
        if values[position]:
            values[position] = harmless(values[position])
    for position in _INSTANTS:
        values[position] = instant(values[position])
    if values[_CARD]:
        values[_CARD] = masked(values[_CARD])
    return values


def instant(value: datetime) -> str:
    """An instant as everywhere else on the wire."""
    return value.isoformat().replace("+00:00", "Z")


def _text(cells: Iterable[list[Any]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text).writerows(cells)
    return text.getvalue().encode("utf-8")
