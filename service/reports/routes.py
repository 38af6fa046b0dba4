"""Reports over HTTP: liability, roll-forward, sold here and used there, all operations."""

from typing import Annotated, Any

from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from schemas.common import Instant
from schemas.reports import By, Liability, MovementList, OperationsCsv, SettlementList
from service.kernel.http import Operation, handler
from service.kernel.paging import CURSOR_MAX
from service.kernel.routes import Route
from service.reports import operations

EXPORT_DEFAULT, EXPORT_MAX = 10_000, 50_000


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


class Export(Period, forbid_unknown_fields=True):
    """A period, and which part of it."""

    closing_at: Annotated[
        Instant | None,
        Meta(
            description="The period ends with it; from the year 2000 on. 60 seconds ago when left "
            "out: what was recorded later may still be on its way to the disk, and would be "
            "missing.",
            examples=["2026-03-31T16:00:00Z"],
        ),
    ] = None
    cursor: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=CURSOR_MAX,
                description="`Next-Cursor` of the chunk before; opaque. It holds the period: leave "
                "the period out, or send it unchanged.",
            ),
        ]
        | None
    ) = None
    limit: Annotated[int, Meta(ge=1, le=EXPORT_MAX, description="How many rows at most.")] = (
        EXPORT_DEFAULT
    )


def _report(
    name: str,
    summary: str,
    description: str,
    query: Any,
    shown: Any,
    operation: Operation,
    **more: Any,
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
        slow=True,
        **more,
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
    _report(
        "operations",
        "Export all operations",
        "Every operation of a period, also the refused ones, as a table in chunks. The first "
        "chunk fixes the period (`Opening-At`, `Closing-At`); while there is a `Next-Cursor`, send "
        "it as `cursor` for the next chunk. Each chunk begins with the row of names. After a "
        "broken download ask again with the same cursor and limit: the same bytes come. "
        "An operation is recorded at the instant it was decided at and can be read a moment later, "
        "when it is on the disk: mostly some milliseconds, 60 seconds at the most unless the "
        "disk itself stands still. Name a `closing_at` that is longer ago, or none, and nothing is "
        "missing. Give this export's `Closing-At` as the next one's `opening_at`, and no row comes "
        "twice or never.",
        Export,
        OperationsCsv,
        operations.export,
        media_type=operations.CSV,
        answer_headers=("Opening-At", "Closing-At", "Next-Cursor"),
    ),
]
