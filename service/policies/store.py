"""Policies as rows: those of a place are its latest version."""

import msgspec

from schemas.policies import OwnRules
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.rules import policies


async def way(tenant: Reading, node_id: str) -> list[OwnRules]:
    """What is said of a place from headquarters down to it, by whoever says something."""
    rows = await tenant.connection.fetchval(
        SQL["policies.way"], tenant.merchant.merchant_id, node_id
    )
    return [_own(*row) for row in rows]


async def page(
    tenant: Reading, after: str, stores: frozenset[str] | None, limit: int
) -> list[OwnRules]:
    """The places after an id that say something; of stores these, or (None) all."""
    limited = None if stores is None else list(stores)
    rows = await tenant.connection.fetch(
        SQL["policies.page"], tenant.merchant.merchant_id, after, limited, limit
    )
    return [_own(*row) for row in rows]


async def insert(tenant: Reading, changed: OwnRules, by: str) -> None:
    """Other rules of a place, of its next version."""
    text = msgspec.json.encode(changed.rules).decode("utf-8")
    values = (changed.node_id, changed.version, text, by)
    await tenant.connection.execute(SQL["policies.insert"], tenant.merchant.merchant_id, *values)


async def is_area(tenant: Reading, area_id: str) -> bool:
    """Whether there is such an area."""
    found: bool = await tenant.connection.fetchval(
        SQL["policies.is_area"], tenant.merchant.merchant_id, area_id
    )
    return found


async def is_given(tenant: Reading, user_id: str, area_id: str, roles: list[str]) -> bool:
    """Whether somebody has one of these roles in just this area."""
    values = (tenant.merchant.merchant_id, user_id, area_id, roles)
    found: bool = await tenant.connection.fetchval(SQL["policies.is_given"], *values)
    return found


def _own(node_id: str, version: int, rules: str) -> OwnRules:
    return OwnRules(node_id, version, policies.stored(rules))
