"""What stores may do: said at headquarters, in areas, at stores; it holds at the till. S3-16."""

from typing import Any

import pytest

from tests.api import shop
from tests.api.staff import Staff
from tests.api.waiting import approve, rule, waits
from tests.harness.client import Client, Response
from tests.harness.tenant import TestCard

OFF, ON = {"value": False}, {"value": True}
NOWHERE = "sto_" + "0" * 26


async def say(client: Client, node_id: str, version: int = 0, **rules: Any) -> Response:
    """Rules of a place, in place of what it said."""
    return await client.post(f"/v1/policies/{node_id}", {"version": version, "rules": rules})


async def said(client: Client, node_id: str, version: int = 0, **rules: Any) -> dict[str, Any]:
    """The same, which is answered with what holds there."""
    answer = await say(client, node_id, version, **rules)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json()
    assert (found["version"], found["rules"]) == (version + 1, rules)
    return found


async def area_of(office: Client, name: str, *stores: str, parent: str | None = None) -> str:
    """An area with these stores in it."""
    made = (await office.post("/v1/areas", {"name": name, "parent_id": parent})).json()
    for store_id in stores:
        move = {"parent_id": made["id"], "from_parent_id": None}
        assert (await office.post(f"/v1/stores/{store_id}/move", move)).status == 200
    found: str = made["id"]
    return found


@pytest.fixture(name="card")
async def _card(staff: Staff, office: Client) -> TestCard:
    return await shop.funded(office, staff.tenant, 100_000)


async def test_where_nobody_says_anything_all_is_open(staff: Staff, office: Client) -> None:
    found = (await office.get(f"/v1/policies/{staff.tenant.store_ids[0]}")).json()
    assert (found["version"], found["rules"]) == (0, {})
    open_ = {"value": True, "node_id": None, "locked": False}
    assert {found["in_force"][name]["value"] for name in ("redemption_max", "top_up_max")} == {None}
    assert all(found["in_force"][name] == open_ for name in ("redemptions", "top_ups", "issues"))
    assert (await office.get("/v1/policies")).json() == {"data": [], "next_cursor": None}


async def test_headquarters_switches_a_branch_off_and_on(
    staff: Staff, office: Client, pos: Client, card: TestCard
) -> None:
    """What was sold before can be given back."""
    here, there = staff.tenant.store_ids
    sale = await shop.sold(pos, card, 500)
    await said(staff.boss, here, redemptions=OFF, top_ups=OFF, issues=OFF)
    for answer in (
        await shop.redeem(pos, card, 100),
        await shop.top_up(pos, card, 100),
        await pos.post("/v1/cards", {"template_id": staff.tenant.template_id}, shop.new_key()),
    ):
        assert (answer.status, shop.reasons(answer)) == (409, ["store_switched_off"])
    quote = {"amount": shop.yuan(100), "sources": [{"card_number": card.number}]}
    quoted = (await pos.post("/v1/redemptions/quote", quote)).json()
    assert [reason["code"] for reason in quoted["reasons"]] == ["store_switched_off"]
    assert (await shop.redeem(office, card, 100, store_id=there)).status == 201
    back = {"amount": shop.yuan(500)}
    answer = await pos.post(f"/v1/redemptions/{sale}/refunds", back, shop.new_key())
    assert answer.status == 201, answer.body
    await said(staff.boss, here, 1)
    assert (await shop.redeem(pos, card, 100)).status == 201


async def test_a_store_does_only_so_much_at_once(staff: Staff, pos: Client, card: TestCard) -> None:
    here = staff.tenant.store_ids[0]
    await said(staff.boss, here, redemption_max={"value": 500}, top_up_max={"value": 300})
    assert (await shop.redeem(pos, card, 500)).status == 201
    dear = await shop.redeem(pos, card, 501)
    assert shop.reasons(dear) == ["store_limit_exceeded"]
    assert dear.json()["reasons"][0]["missing_minor"] == 1
    assert (await shop.top_up(pos, card, 300)).status == 201
    assert shop.reasons(await shop.top_up(pos, card, 301)) == ["store_limit_exceeded"]


async def test_a_card_that_waits_is_not_sold_where_none_are(
    staff: Staff, office: Client, pos: Client
) -> None:
    dormant = await shop.issue(office, staff.tenant, activate=False)
    await said(staff.boss, staff.tenant.store_ids[0], issues=OFF)
    answer = await pos.post(f"/v1/cards/{dormant.card_id}/activate", {}, shop.new_key())
    assert shop.reasons(answer) == ["store_switched_off"]
    path = f"/v1/cards/{dormant.card_id}/activate"
    assert (await office.post(path, {}, shop.new_key())).status == 200


async def test_who_sells_at_several_stores_says_where(staff: Staff, office: Client) -> None:
    """Negative control: as the merchant's own office they would sell where no cards are sold."""
    here, there = staff.tenant.store_ids
    person = await staff.hired("cashier", here)
    more = {"role": "cashier", "node_id": there}
    assert (await staff.boss.post(f"/v1/users/{person.user_id}/roles", more)).status == 201
    await said(staff.boss, here, issues=OFF)
    dormant = await shop.issue(office, staff.tenant, activate=False)
    activate = f"/v1/cards/{dormant.card_id}/activate"
    asked: tuple[tuple[str, dict[str, str]], ...] = (
        ("/v1/cards", {"template_id": staff.tenant.template_id}),
        (activate, {}),
    )
    wanted = (
        (None, 422, "store_required"),
        (here, 409, "store_switched_off"),
        (NOWHERE, 403, None),
        (there, None, None),
    )
    async with staff.client_of(person.token) as own:
        for store_id, status, code in wanted:
            for path, body in asked:
                at = body | ({"store_id": store_id} if store_id else {})
                answer = await own.post(path, at, shop.new_key())
                assert answer.status == (status or (200 if path == activate else 201)), answer.body
                assert code is None or shop.reasons(answer) == [code]
    for action, is_named in (("freeze", False), ("unfreeze", True)):
        body = {"store_id": there} if is_named else {}
        answer = await office.post(f"/v1/cards/{dormant.card_id}/{action}", body, shop.new_key())
        assert answer.status == 200
    for path, body in (*asked, (f"/v1/cards/{dormant.card_id}/freeze", {})):
        answer = await office.post(path, {**body, "store_id": NOWHERE}, shop.new_key())
        assert (answer.status, shop.reasons(answer)) == (422, ["store_unknown"])


async def test_the_nearest_says_it_unless_it_is_locked_above(
    staff: Staff, office: Client, pos: Client, card: TestCard
) -> None:
    tenant = staff.tenant
    here, there = tenant.store_ids
    area_id = await area_of(office, "east", here)
    await said(staff.boss, tenant.merchant_id, redemptions=OFF)
    assert (await shop.redeem(pos, card, 100)).status == 409
    manager = await staff.hired("area_manager", area_id)
    async with staff.client_of(manager.token) as own:
        await said(own, area_id, redemptions=ON)
        assert (await shop.redeem(pos, card, 100)).status == 201
        assert (await shop.redeem(office, card, 100, store_id=there)).status == 409
        await said(staff.boss, tenant.merchant_id, 1, redemptions={"value": False, "locked": True})
        assert (await shop.redeem(pos, card, 100)).status == 409
        refused = await say(own, here, redemptions=ON)
        assert (refused.status, refused.json()["code"]) == (409, "policy_refused")
        [reason] = refused.json()["reasons"]
        assert (reason["code"], reason["existing_id"]) == ("policy_locked", tenant.merchant_id)
        assert reason["path"] == "$.rules.redemptions"
        shown = (await own.get(f"/v1/policies/{here}")).json()["in_force"]["redemptions"]
        assert shown == {"value": False, "node_id": tenant.merchant_id, "locked": True}
    await said(staff.boss, tenant.merchant_id, 2)  # what the area said holds again
    shown = (await office.get(f"/v1/policies/{here}")).json()["in_force"]["redemptions"]
    assert shown == {"value": True, "node_id": area_id, "locked": False}
    listed = (await office.get("/v1/policies")).json()["data"]
    assert {one["node_id"]: one["version"] for one in listed} == {
        area_id: 1, tenant.merchant_id: 3
    }  # fmt: skip


async def test_a_store_that_moves_is_under_what_is_said_there(
    staff: Staff, office: Client, pos: Client, card: TestCard
) -> None:
    outer = await area_of(office, "north")
    inner = await area_of(office, "harbin", parent=outer)
    await said(staff.boss, outer, redemptions=OFF)
    assert (await shop.redeem(pos, card, 100)).status == 201
    move = {"parent_id": inner, "from_parent_id": None}
    path = f"/v1/stores/{staff.tenant.store_ids[0]}/move"
    assert (await office.post(path, move)).status == 200
    assert shop.reasons(await shop.redeem(pos, card, 100)) == ["store_switched_off"]


async def test_each_says_it_where_they_are_responsible(staff: Staff, office: Client) -> None:
    here, there = staff.tenant.store_ids
    """Who has all stores of an area isn't who is responsible for the area."""
    area_id, empty = await area_of(office, "east", here), await area_of(office, "west")
    area = await staff.hired("area_manager", area_id)
    store = await staff.hired("store_manager", here)
    cashier = await staff.hired("cashier", here)
    everywhere = (here, there, area_id, empty, staff.tenant.merchant_id)
    for person, allowed in ((area, {here, area_id}), (store, {here}), (cashier, set())):
        async with staff.client_of(person.token) as own:
            for node_id in everywhere:
                answer = await say(own, node_id, 999)
                wanted = 409 if node_id in allowed else 403
                assert answer.status == wanted, (node_id, answer.body)
    for node_id in ("are_" + "0" * 26, "mer_" + "0" * 26, "sto_" + "0" * 26, here[:-1], "x"):
        assert (await say(staff.boss, node_id)).status == 404
        assert (await office.get(f"/v1/policies/{node_id}")).status == 404


async def test_what_headquarters_holds_at_a_store_its_manager_does_not_let_go(
    staff: Staff, pos: Client, card: TestCard
) -> None:
    """And what they said of something else before stays theirs to change."""
    here = staff.tenant.store_ids[0]
    held = {"value": False, "locked": True}
    manager = await staff.hired("store_manager", here)
    async with staff.client_of(manager.token) as own:
        assert (await say(own, here, redemptions=held)).status == 403
        await said(staff.boss, here, redemptions=held, top_up_max={"value": 500})
        for rules in ({}, {"redemptions": ON}, {"redemptions": OFF}):
            refused = await say(own, here, 1, **rules)
            assert shop.reasons(refused) == ["policy_locked"], refused.body
        await said(own, here, 1, redemptions=held, top_up_max={"value": 300})
    assert shop.reasons(await shop.redeem(pos, card, 100)) == ["store_switched_off"]
    await said(staff.boss, here, 2)
    assert (await shop.redeem(pos, card, 100)).status == 201


async def test_nobody_undoes_what_they_have_not_seen(staff: Staff) -> None:
    here = staff.tenant.store_ids[0]
    await said(staff.boss, here, redemptions=OFF)
    late = await say(staff.boss, here, 0, top_ups=OFF)
    assert (late.status, late.json()["code"]) == (409, "policy_moved")
    entries = await staff.boss.get(f"/v1/audit-entries?object_id={here}&action=policy.changed")
    [entry] = entries.json()["data"]
    assert (entry["before"], entry["after"]) == ({}, {"redemptions": OFF})


async def test_a_second_person_where_the_merchant_wants_one(staff: Staff) -> None:
    other = await rule(staff, {"kind": "policy.change", "roles": ["owner"]})
    here = staff.tenant.store_ids[0]
    approval_id = waits(await say(staff.boss, here, redemptions=OFF))
    async with other as owner:
        assert (await approve(owner, approval_id)).status == 200
    await said(staff.boss, here, redemptions=OFF)
