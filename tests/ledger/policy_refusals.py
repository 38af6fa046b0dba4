"""What provokes the refusals about what stores may do, with a merchant to say it."""

from datetime import time
from typing import Any

from schemas.policies import Limit, PolicyChange, PolicyRules, Switch
from service.policies import operations as policies
from service.rules import policies as rules
from service.stores import operations as stores
from tests.ledger.approval_refusals import fresh
from tests.ledger.people_refusals import asked
from tests.ledger.rules.kit import ZONE, Shop
from tests.ledger.stored_refusals import How

OFF = PolicyRules(redemptions=Switch(value=False), redemption_max=Limit(1))
HELD = PolicyRules(redemptions=Switch(value=True, locked=True))


def said(place: str = "", role: str = "owner", version: int = 0) -> How:
    """Somebody says something of headquarters, the store or elsewhere."""

    async def how(merchant: Shop) -> Any:
        at = merchant.store_id if role == "store_manager" else None
        found = await asked(merchant, role, at)
        found.scope = "policies:write"
        found.path["node_id"] = {"": merchant.merchant_id, "store": merchant.store_id}.get(
            place, place
        )
        return await policies.change(found, PolicyChange(version, OFF))

    return how


async def elsewhere(merchant: Shop) -> Any:
    """The manager of one store looks at what holds at another."""
    made = await stores.create(merchant.pool, merchant.merchant_id, "other", "x", ZONE, time(0))
    found = await asked(merchant, "store_manager", merchant.store_id)
    found.scope, found.path["node_id"] = "stores:read", made.store_id
    return await policies.read(found, None)


async def held(merchant: Shop) -> Any:
    """A store says what headquarters has locked."""
    found = await asked(merchant)
    found.scope, found.path["node_id"] = "policies:write", merchant.merchant_id
    await policies.change(found, PolicyChange(0, HELD))
    found.path["node_id"] = merchant.store_id
    return await policies.change(found, PolicyChange(0, OFF))


async def holds(merchant: Shop) -> Any:
    """A store's manager locks what the store says."""
    found = await asked(merchant, "store_manager", merchant.store_id)
    found.scope, found.path["node_id"] = "policies:write", merchant.store_id
    return await policies.change(found, PolicyChange(0, HELD))


async def held_above(_: Shop) -> Any:
    """The same, by the rule alone."""
    return rules.locked([("mer_1", HELD)], PolicyRules(), OFF)


async def not_done(_: Shop) -> Any:
    """A store does no such thing, and not as much."""
    return rules.refusals(rules.in_force([("sto_1", OFF)]), "redemption", 2)


P = "service.policies.operations"
CASES: list[tuple[str, str, How]] = [
    (f"{P}._place", "not_found", said("are_" + "0" * 26)),
    (f"{P}._place", "store_not_allowed", elsewhere),
    (f"{P}._require_responsible", "store_not_allowed", said(role="store_manager")),
    (f"{P}.change", "store_not_allowed", fresh(holds)),
    (f"{P}.change", "policy_moved", fresh(said(version=7))),
    (f"{P}.change", "policy_refused policy_locked", fresh(held)),
    ("service.rules.policies.locked", "policy_locked", held_above),
    ("service.rules.policies.refusals", "store_switched_off store_limit_exceeded", not_done),
]
