"""Rules of a merchant, and what waits for a second person because of them."""

from typing import Any

from tests.api import shop
from tests.api.staff import Staff
from tests.harness.client import Client, Response

OVER_50 = {"kind": "refund", "amount_above": 5_000, "roles": ["store_manager", "finance"]}


async def rule(staff: Staff, *rules: dict[str, Any]) -> Client:
    """These rules hold; another owner than the boss, who could agree to others."""
    other = await staff.hired("owner")
    answer = await staff.boss.post("/v1/authority", {"version": 0, "rules": list(rules)})
    assert answer.status == 201, answer.body
    return staff.client_of(other.token)


def waits(answer: Response) -> str:
    """The approval that something waits for."""
    assert (answer.status, answer.json()["code"]) == (403, "approval_required"), answer.body
    (reason,) = answer.json()["reasons"]
    found: str = reason["existing_id"]
    return found


async def approve(
    client: Client, approval_id: str, verdict: str = "approve", **more: Any
) -> Response:
    """Yes to what it is now, or no."""
    seen = await client.get(f"/v1/approvals/{approval_id}")
    body = {"digest": seen.json()["digest"], **more}
    return await client.post(f"/v1/approvals/{approval_id}/{verdict}", body)


async def status(client: Client, approval_id: str) -> str:
    """How it stands."""
    found: str = (await client.get(f"/v1/approvals/{approval_id}")).json()["status"]
    return found


async def sale(office: Client, staff: Staff, pos: Client, value: int = 8_000) -> str:
    """A redemption at the first store."""
    card = await shop.funded(office, staff.tenant, 2 * value)
    return await shop.sold(pos, card, value)


async def refund(client: Client, redemption_id: str, key: str, **body: Any) -> Response:
    """Give it back."""
    return await client.post(f"/v1/redemptions/{redemption_id}/refunds", body, key)
