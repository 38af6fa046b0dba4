"""The feed and the audit trail over HTTP. CAP-H3, CAP-H7."""

import asyncio
from typing import Any

import pytest

from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client
from tests.harness.tenant import Tenant


async def read(client: Client, after: int = 0, **query: Any) -> dict[str, Any]:
    """One answer of the feed."""
    asked = "&".join(f"{name}={value}" for name, value in {"after": after, **query}.items())
    answer = await client.get(f"/v1/events?{asked}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


async def walked(client: Client, until: str, **query: Any) -> list[dict[str, Any]]:
    """All events up to that of an operation or audit entry, page by page."""
    events: list[dict[str, Any]] = []
    after = 0
    async with asyncio.timeout(30):
        while until not in {subject(event) for event in events}:
            page = await read(client, after, **query)
            events += page["data"]
            after = page["last_seq"]
    return events


def subject(event: dict[str, Any]) -> str:
    """What it is about."""
    part = event["operation"] or event["change"]
    return str(part.get("operation_id") or part["audit_entry_id"])


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_CAP_H3_everything_comes_once_in_order(
    limit: int, pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 30_000)
    await shop.sold(pos, card, 1_800)
    assert (await shop.redeem(pos, card, 99_999_999)).status == 409
    last = await shop.sold(pos, card, 200)
    events = await walked(office, last, limit=limit)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["id"] for event in events}) == len(events)
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    kinds = [
        (event["operation"]["kind"], event["operation"]["status"])
        for event in events
        if event["operation"]
    ]
    assert kinds == [
        ("issue", "accepted"),
        ("top_up", "accepted"),
        ("redeem", "accepted"),
        ("redeem", "refused"),
        ("redeem", "accepted"),
    ]
    changes = [event["change"]["action"] for event in events if event["change"]]
    assert changes == [
        "merchant.created", "store.created", "api_key.created", "store.created",
        "api_key.created", "api_key.created", "template.published",
    ]  # fmt: skip


async def test_an_event_tells_what_a_till_was_told(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 30_000)
    answer = (await shop.redeem(pos, card, 6_000)).json()
    event = (await walked(office, answer["id"]))[-1]
    operation = event["operation"]
    assert operation["store_id"] == tenant.store_ids[0]
    assert operation["amount"] == shop.yuan(6_000)
    assert operation["card_id"] == card.card_id
    assert operation["card"] == {
        "version": answer["card"]["version"],
        "status": "active",
        "principal_delta": -1_000,
        "bonus_delta": -5_000,
        "balances": answer["card"]["balances"],
    }
    assert operation["refusal"] is None
    assert event["actor"]["kind"] == "api_key"
    assert event["change"] is None


async def test_a_refusal_is_an_event_without_a_balance(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 100)
    assert (await shop.redeem(pos, card, 200)).status == 409
    last = await shop.sold(pos, card, 100)
    refused = (await walked(office, last))[-2]["operation"]
    assert (refused["status"], refused["refusal"]) == ("refused", "redemption_refused")
    assert refused["card"] is None


async def test_a_filter_leaves_out_and_goes_on(pos: Client, office: Client, tenant: Tenant) -> None:
    card, other = [await shop.funded(office, tenant, 1_000) for _ in range(2)]
    await shop.sold(pos, other, 100)
    last = await shop.sold(pos, card, 100)
    everything = await walked(office, last)
    only = await walked(office, last, card_id=card.card_id, limit=2)
    assert only == [
        event
        for event in everything
        if event["operation"] and event["operation"]["card_id"] == card.card_id
    ]
    assert len(only) == 3
    here = await walked(office, last, store_id=tenant.store_ids[0])
    assert {event["operation"]["store_id"] for event in here} == {tenant.store_ids[0]}
    assert len(here) == 4


async def test_the_end_is_told(office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 1_000)
    answer = await shop.top_up(office, card, 500, store_id=tenant.store_ids[0])
    events = await walked(office, answer.json()["id"])
    at_end = await read(office, len(events))
    assert at_end == {"data": [], "last_seq": len(events), "has_more": False}
    assert (await read(office, 0, limit=1))["has_more"] is True
    assert (await read(office, len(events) + 7))["last_seq"] == len(events) + 7


async def test_another_merchant_has_another_feed(
    office: Client, tenant: Tenant, other: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    answer = await shop.top_up(office, card, 500, store_id=tenant.store_ids[0])
    await walked(office, answer.json()["id"])
    async with client_of(other.merchant_key) as theirs:
        for query in ("", f"&card_id={card.card_id}", f"&store_id={tenant.store_ids[0]}"):
            answer = await theirs.get(f"/v1/events?limit=1000{query}")
            assert tenant.merchant_id.encode() not in answer.body
            assert card.card_id.encode() not in answer.body
        entries = await theirs.get("/v1/audit-entries?limit=200")
        assert {entry["object_id"] for entry in entries.json()["data"]}.isdisjoint(
            {tenant.merchant_id, *tenant.store_ids, tenant.template_id}
        )


async def test_a_till_reads_neither(pos: Client) -> None:
    for path in ("/v1/events", "/v1/audit-entries"):
        answer = await pos.get(path)
        assert answer.status == 403
        assert shop.reasons(answer) == ["scope_missing"]


async def test_CAP_H7_a_change_is_written_down(office: Client, tenant: Tenant) -> None:
    template_id = await shop.publish(office, name="银卡")
    member_id = await shop.member(office)
    answer = await office.get("/v1/audit-entries?limit=2")
    created, published = answer.json()["data"]
    assert (created["action"], created["object_id"]) == ("member.created", member_id)
    assert created["before"] is None
    assert set(created["after"]) == {"phone"}, "a commitment: test_personal.py"
    assert (published["action"], published["object_id"]) == ("template.published", template_id)
    assert published["after"]["name"] == "银卡"
    assert published["actor"]["kind"] == "api_key"
    assert published["address"] == "127.0.0.1"
    assert published["request_id"].startswith("req_")
    assert answer.json()["next_cursor"]


async def test_entries_are_found_by_object_actor_and_action(office: Client, tenant: Tenant) -> None:
    published = (await office.get("/v1/audit-entries?action=template.published")).json()["data"]
    [entry] = published
    key_id = entry["actor"]["id"]
    for query in (f"object_id={tenant.template_id}", f"actor_id={key_id}"):
        assert (await office.get(f"/v1/audit-entries?{query}")).json()["data"] == [entry]
    made = (await office.get(f"/v1/audit-entries?object_id={key_id}")).json()["data"]
    assert [(each["action"], each["actor"]["kind"]) for each in made] == [
        ("api_key.created", "operator")
    ]
    assert "kfk_" not in str(made)


async def test_a_day_and_a_clock_are_written_down(office: Client, tenant: Tenant) -> None:
    await shop.move_clock(office, "2036-03-01T04:00:00Z")
    store = tenant.store_ids[0]
    day = f"/v1/stores/{store}/days/2036-03-01"
    change_no = (await office.get(day)).json()["change_no"]
    closed = await office.post(f"{day}/close", {"change_no": change_no})
    assert closed.status == 200, closed.body
    again = {"change_no": change_no + 1, "reason": "漏录一笔"}
    assert (await office.post(f"{day}/reopen", again)).status == 200
    reopened, shut, moved = (await office.get("/v1/audit-entries?limit=3")).json()["data"]
    assert (reopened["action"], reopened["reason"]) == ("day.reopened", "漏录一笔")
    assert (shut["action"], shut["object_id"]) == ("day.closed", store)
    assert shut["after"] == {"business_date": "2036-03-01"}
    assert moved["action"] == "test_clock.moved"
    assert moved["after"] == {"now": "2036-03-01T04:00:00Z"}
