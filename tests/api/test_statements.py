"""A card's statement: every change by version, without gap, in pages."""

import base64

import pytest

from tests.api import shop
from tests.harness.client import Client
from tests.harness.tenant import Tenant


async def test_every_change_with_the_balances_after_it(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.issue(office, tenant, activate=False)
    await office.post(f"/v1/cards/{card.card_id}/activate", {}, shop.new_key())
    topped = (await shop.top_up(pos, card, 30_000, till={"receipt_no": "R-1"})).json()
    sale = await shop.sold(pos, card, 8_000)
    refund = await pos.post(
        f"/v1/redemptions/{sale}/refunds", {"amount": shop.yuan(4_000)}, shop.new_key()
    )
    assert (await shop.redeem(pos, card, 99_999)).status == 409
    await office.post(f"/v1/cards/{card.card_id}/freeze", {}, shop.new_key())
    page = (await pos.get(f"/v1/cards/{card.card_id}/statement")).json()
    seen = [
        (line["kind"], line["principal_delta"], line["bonus_delta"], line["principal"],
         line["bonus"], line["status"]) for line in page["data"]
    ]  # fmt: skip
    assert seen == [
        ("issue", 0, 0, 0, 0, "created"),
        ("activate", 0, 0, 0, 0, "active"),
        ("top_up", 30_000, 5_000, 30_000, 5_000, "active"),
        ("redeem", -3_000, -5_000, 27_000, 0, "active"),
        ("refund", 3_000, 1_000, 30_000, 1_000, "active"),
        ("freeze", 0, 0, 30_000, 1_000, "frozen"),
    ]
    assert [line["version"] for line in page["data"]] == [1, 2, 3, 4, 5, 6]
    by_kind = {line["kind"]: line for line in page["data"]}
    assert by_kind["top_up"]["operation_id"] == topped["id"]
    assert by_kind["top_up"]["receipt_no"] == "R-1"
    assert by_kind["redeem"]["operation_id"] == sale
    assert by_kind["refund"]["operation_id"] == refund.json()["id"]
    assert by_kind["redeem"]["store_id"] == tenant.store_ids[0]
    assert page["next_cursor"] is None


async def test_pages_lose_nothing_while_the_card_is_in_use(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    for _ in range(4):
        await shop.sold(pos, card, 10)
    path, versions = f"/v1/cards/{card.card_id}/statement", []
    cursor = ""
    for _ in range(10):
        page = (await pos.get(f"{path}?limit=2{cursor}")).json()
        assert len(page["data"]) <= 2
        versions += [line["version"] for line in page["data"]]
        if len(versions) == 4:
            await shop.sold(pos, card, 10)
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert versions == [1, 2, 3, 4, 5, 6, 7]


async def test_a_last_page_that_is_full_ends(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 10_000)  # two legs: issue, top-up
    page = (await pos.get(f"/v1/cards/{card.card_id}/statement?limit=2")).json()
    assert len(page["data"]) == 2
    assert page["next_cursor"] is None


@pytest.mark.parametrize(
    "cursor",
    ["x", "%00", "LTE=", "%C3%A9", base64.urlsafe_b64encode(b"99999999999999999999").decode(),
     base64.urlsafe_b64encode(b"1.5").decode(), "a" * 513, ""],
)  # fmt: skip
async def test_a_cursor_that_is_none_of_ours(
    pos: Client, office: Client, tenant: Tenant, cursor: str
) -> None:
    card = await shop.issue(office, tenant)
    answer = await pos.get(f"/v1/cards/{card.card_id}/statement?cursor={cursor}")
    assert (answer.status, answer.json()["code"]) == (400, "invalid_request")
    assert [reason["path"] for reason in answer.json()["reasons"]] == ["$query.cursor"]
