"""Reports over HTTP: liability, roll-forward, sold here and used there."""

from typing import Annotated, Any

from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from schemas.common import Instant
from schemas.reports import By, Liability, MovementList, SettlementList
from service.kernel.http import Operation, Route, handler
from service.reports import operations


class AsOf(Struct, forbid_unknown_fields=True):
    """An instant, and what the lines are by."""

    as_of: Annotated[
        Instant | None,
        Meta(
            description="Any instant of the past, from the year 2000 on; now when left out. It is "
            "final a few minutes later, when what was being written then is done.",
            examples=["2026-03-31T16:00:00Z"],
        ),
    ] = None
    by: By = "account"


class Period(Struct, forbid_unknown_fields=True):
    """A period."""

    opening_at: Annotated[
        Instant | None,
        Meta(
            description="The period begins after it; from the year 2000 on. A day before the "
            "period's end when left out.",
            examples=["2026-02-28T16:00:00Z"],
        ),
    ] = None
    closing_at: Annotated[
        Instant | None,
        Meta(
            description="The period ends with it; from the year 2000 on. Now when left out.",
            examples=["2026-03-31T16:00:00Z"],
        ),
    ] = None


class PeriodBy(Period, forbid_unknown_fields=True):
    """A period, and what the lines are by."""

    by: By = "account"


def _report(
    name: str,
    summary: str,
    description: str,
    query: Any,
    shown: Any,
    operation: Operation,
) -> HTTPRouteHandler:
    route = Route(
        method="GET",
        path=f"/v1/reports/{name}",
        operation_id=f"report_{name}",
        tag="Reports",
        scope="reports:read",
        summary=summary,
        description=description,
        query=query,
        answers={200: shown},
        errors=(),
    )
    return handler(route, operation)


HANDLERS = [
    _report(
        "liability",
        "What is owed to card holders",
        "The value on all cards at any instant of the past: what the books show as prepaid.",
        AsOf,
        Liability,
        operations.liability,
    ),
    _report(
        "movements",
        "How what is owed has moved",
        "Opening, what each kind of operation added and took, closing: opening + in - out = "
        "closing on every line. Expired value is in it until it is taken off.",
        PeriodBy,
        MovementList,
        operations.movements,
    ),
    _report(
        "settlements",
        "Sold here, used there",
        "For each pair of stores (also a store with itself) the value that one sold and the other "
        "took: the base of what they owe each other.",
        Period,
        SettlementList,
        operations.settlements,
    ),
]
