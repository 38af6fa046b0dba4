"""Templates as rows."""

from datetime import datetime

import msgspec
from msgspec import Struct

from schemas.templates import CardTemplate, CardTemplateCreate
from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.problems import ProblemError
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.ledger.reasons import MERCHANT_SUSPENDED


class _Row(Struct):
    template_id: str
    version: int
    rules: str
    published_at: datetime


async def publish(
    connection: database.Connection, merchant_id: str, rules: CardTemplateCreate
) -> CardTemplate:
    """A new template, published as version 1; raises the epoch.

    Raises ProblemError when the merchant is suspended.
    """
    row = await database.one(
        connection,
        "templates.publish",
        _Row,
        merchant_id,
        new_id("tpl"),
        msgspec.json.encode(rules).decode("utf-8"),
        rules.max_cards,
    )
    if row is None:
        raise ProblemError(MERCHANT_SUSPENDED)
    return _template(row)


async def latest(tenant: Reading, template_id: str) -> CardTemplate | None:
    """The latest version, or None."""
    row = await database.one(
        tenant.connection, "templates.latest", _Row, tenant.merchant.merchant_id, template_id
    )
    return None if row is None else _template(row)


async def page(tenant: Reading, before: str, limit: int) -> list[CardTemplate]:
    """Templates older than an id, newest first."""
    rows = await database.many(
        tenant.connection, "templates.page", _Row, tenant.merchant.merchant_id, before, limit
    )
    return [_template(row) for row in rows]


async def known_stores(tenant: Reading, store_ids: list[str]) -> set[str]:
    """Which of these stores the merchant has."""
    rows = await tenant.connection.fetch(
        SQL["templates.known_stores"], tenant.merchant.merchant_id, store_ids
    )
    return {row["store_id"] for row in rows}


def _template(row: _Row) -> CardTemplate:
    rules = msgspec.json.decode(row.rules, type=CardTemplateCreate)
    return CardTemplate(row.template_id, row.version, "published", rules, row.published_at)
