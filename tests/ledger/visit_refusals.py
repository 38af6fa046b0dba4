"""What provokes the refusals about visits, with a merchant to be visited."""

from typing import Any

from schemas.users import UserVersion
from schemas.visits import VisitBegin
from service.users import operations as users
from service.visits import operations as visits
from tests.harness import platform
from tests.ledger.people_refusals import asked, on
from tests.ledger.rules.kit import Shop
from tests.ledger.stored_refusals import How


async def visiting(merchant: Shop, role: str, host_id: str = "") -> Any:
    """Support's request for a visit to the merchant, or elsewhere; and the answer."""
    platform_id = await platform.tenant_of(merchant.pool)
    found = await asked(merchant, "platform_support", at=platform_id)
    found.scope = "visits:write"
    host_id = {"": merchant.merchant_id, "platform": platform_id}[host_id]
    body = VisitBegin(host_id, role, platform.REASON)  # type: ignore[arg-type]
    await visits.begin(found, body)
    return found


def begun(role: str = "visiting_support", host_id: str = "") -> How:
    """A visit that may not be."""

    async def how(merchant: Shop) -> Any:
        return await visiting(merchant, role, host_id)

    return how


async def disabled(merchant: Shop) -> Any:
    """The merchant's owner takes a visitor for one of theirs."""
    visitor = await visiting(merchant, "visiting_support")
    found = await asked(merchant, user_id=visitor.credential.user_id)
    return await users.disable(found, UserVersion(1))


V = "service.visits.operations"
CASES: list[tuple[str, str, How]] = [
    (f"{V}.begin", "contradiction role_not_yours", begun("visiting_admin")),
    (f"{V}._admitted", "contradiction merchant_unknown", begun(host_id="platform")),
    (f"{V}.end", "not_found", on(visits.end, None)),
    ("service.users.operations._within_reach", "user_refused user_visits", disabled),
]
