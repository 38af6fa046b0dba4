"""Reports as rows."""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg

from schemas.common import Account
from schemas.reports import Flow, LiabilityLine, Settlement
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading

# Rows of an export that are read, and written as text, at once: some milliseconds of the loop.
SLICE = 250


class FlowOf(Flow):
    """A flow with the line it belongs to."""

    account: Account
    currency: str
    template_id: str | None
    store_id: str | None


async def liability(tenant: Reading, by: str, as_of: datetime) -> list[LiabilityLine]:
    """What was owed at an instant."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(
        tenant.connection, "reports.liability", LiabilityLine, merchant_id, by, as_of
    )


async def flows(
    tenant: Reading, by: str, opening_at: datetime, closing_at: datetime
) -> list[FlowOf]:
    """What moved in a period."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(
        tenant.connection, "reports.flows", FlowOf, merchant_id, by, opening_at, closing_at
    )


async def settlements(
    tenant: Reading, opening_at: datetime, closing_at: datetime
) -> list[Settlement]:
    """What was sold and used in a period, by both stores."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(
        tenant.connection, "reports.settlements", Settlement, merchant_id, opening_at, closing_at
    )


async def operations(
    tenant: Reading, recorded_at: datetime, operation_id: str, closing_at: datetime, limit: int
) -> AsyncIterator[list[asyncpg.Record]]:
    """The operations after a place, in slices, with the columns of the export in its order."""
    merchant_id = tenant.merchant.merchant_id
    cursor = await tenant.connection.cursor(
        SQL["reports.operations"], merchant_id, recorded_at, operation_id, closing_at, limit
    )
    while rows := await cursor.fetch(SLICE):
        yield rows
