"""What needs a second person: who asked never decides, and what is done is what was seen.

CAP-A3, THREAT-T10, S2-18, S5-12.
"""

from typing import Any

import asyncpg
import pytest

from service.api_keys import operations as api_keys
from service.kernel.ids import new_id
from tests.api import shop
from tests.api.staff import Staff
from tests.api.waiting import OVER_50, approve, refund, rule, sale, status, waits
from tests.harness import people
from tests.harness.client import Client
from tests.harness.tenant import TEMPLATE


async def test_a_refund_above_the_limit_waits_for_the_manager(
    staff: Staff, office: Client, pos: Client
) -> None:
    await rule(staff, OVER_50)
    manager = await staff.hired("store_manager", staff.tenant.store_ids[0])
    redemption_id, key = await sale(office, staff, pos), shop.new_key()
    async with staff.client_of(manager.token) as desk:
        assert (
            await refund(pos, redemption_id, shop.new_key(), amount=shop.yuan(5_000))
        ).status == 201
        sold = await sale(office, staff, pos)
        approval_id = waits(await refund(pos, sold, key, amount=shop.yuan(5_001)))
        assert waits(await refund(pos, sold, key, amount=shop.yuan(5_001))) == approval_id
        shown = (await desk.get(f"/v1/approvals/{approval_id}")).json()
        assert shown["amount"] == shop.yuan(5_001)
        assert shown["request"]["path"] == {"redemption_id": sold}
        assert (shown["actor"]["kind"], shown["status"]) == ("api_key", "open")
        assert (await approve(desk, approval_id, note="bill seen")).json()["status"] == "approved"
        done = await refund(pos, sold, key, amount=shop.yuan(5_001))
        again = await refund(pos, sold, key, amount=shop.yuan(5_001))
        assert (done.status, again.status, done.body) == (201, 201, again.body)
        assert await status(pos, approval_id) == "used"
        (said,) = (await desk.get(f"/v1/approvals/{approval_id}")).json()["decisions"]
        assert (said["user_id"], said["note"]) == (manager.user_id, "bill seen")
    left = await pos.get(f"/v1/redemptions/{redemption_id}")
    assert left.json()["status"] == "partly_refunded"


async def test_all_that_is_left_is_an_amount_too(staff: Staff, office: Client, pos: Client) -> None:
    await rule(staff, OVER_50, {**OVER_50, "kind": "void"}, {**OVER_50, "kind": "reversal"})
    whole, small = await sale(office, staff, pos), await sale(office, staff, pos, 5_000)
    waits(await refund(pos, whole, shop.new_key()))
    assert (await refund(pos, small, shop.new_key())).status == 201
    waits(await pos.post(f"/v1/redemptions/{whole}/void", {}, shop.new_key()))
    card, key = await shop.funded(office, staff.tenant, 16_000), shop.new_key()
    assert (await shop.redeem(pos, card, 8_000, key=key)).status == 201
    waits(await pos.post("/v1/reversals", {"idempotency_key": key}, shop.new_key()))
    unseen = await pos.post("/v1/reversals", {"idempotency_key": shop.new_key()}, shop.new_key())
    assert unseen.status == 201, "a key that never arrived is blocked without asking anybody"


async def test_whoever_asked_never_decides(staff: Staff, office: Client, pos: Client) -> None:
    """Not in another session, and not when an API key that they made did the asking."""
    await rule(staff, OVER_50)
    manager = await staff.hired("store_manager", staff.tenant.store_ids[0])
    merchant_id = staff.tenant.merchant_id
    more = await people.sign_in(staff.pool, merchant_id, manager.user_id, second_factor=True)
    key = await api_keys.create(
        staff.pool, merchant_id, "own till", "pos", staff.tenant.store_ids[0]
    )
    await made_by(staff, key.api_key_id, manager.user_id)
    sold = await sale(office, staff, pos)
    async with (
        staff.client_of(manager.token) as desk,
        staff.client_of(more.token) as other_desk,
        staff.client_of(key.token) as own_till,
    ):
        for asker in (desk, own_till):
            approval_id = waits(await refund(asker, sold, shop.new_key()))
            for decider in (desk, other_desk):
                refused = await approve(decider, approval_id)
                assert (refused.status, shop.reasons(refused)) == (409, ["own_request"])
            refused = await own_till.post(
                f"/v1/approvals/{approval_id}/approve", {"digest": "0" * 64}
            )
            assert (refused.status, shop.reasons(refused)) == (403, ["people_only"])
            assert await status(desk, approval_id) == "open"


async def made_by(staff: Staff, api_key_id: str, user_id: str) -> None:
    """The key is one that this person made."""
    await shop.change(
        staff.postgres,
        staff.tenant.merchant_id,
        "update api_key set created_by = $2 where api_key_id = $1",
        api_key_id,
        user_id,
    )


async def test_who_may_decide(staff: Staff, office: Client, pos: Client) -> None:
    """A role that the rule names, where it happens; only what was seen, and each once."""
    await rule(staff, {**OVER_50, "approvers": 2, "roles": ["store_manager", "finance"]})
    here, there = staff.tenant.store_ids
    cast = {
        "cashier": await staff.hired("cashier", here),
        "elsewhere": await staff.hired("store_manager", there),
        "checker": await staff.hired("checker"),
        "manager": await staff.hired("store_manager", here),
        "finance": await staff.hired("finance"),
    }
    sold, key = await sale(office, staff, pos), shop.new_key()
    approval_id = waits(await refund(pos, sold, key))
    digest = (await staff.boss.get(f"/v1/approvals/{approval_id}")).json()["digest"]

    async def says(who: str, verdict: str = "approve", **body: Any) -> tuple[int, list[str]]:
        async with staff.client_of(cast[who].token) as client:
            content = {"digest": digest, **body}
            answer = await client.post(f"/v1/approvals/{approval_id}/{verdict}", content)
            return answer.status, shop.reasons(answer) if answer.status >= 400 else []

    assert await says("cashier") == (403, ["permission_missing"])
    assert (await says("elsewhere"))[0] == 403
    assert await says("checker") == (409, ["role_lacking"])
    assert await says("manager", digest="0" * 64) == (409, ["digest_other"])
    assert await says("manager") == (200, [])
    assert await says("manager") == (200, [])
    assert await says("manager", "reject") == (409, ["decided_already"])
    waits(await refund(pos, sold, key))
    assert await says("finance") == (200, [])
    assert (await refund(pos, sold, key)).status == 201
    assert await says("finance", "reject") == (409, ["approval_over", "decided_already"])


async def test_one_no_is_enough_and_the_next_request_is_another(
    staff: Staff, office: Client, pos: Client
) -> None:
    await rule(staff, OVER_50)
    finance = await staff.hired("finance")
    sold, key = await sale(office, staff, pos), shop.new_key()
    async with staff.client_of(finance.token) as desk:
        first = waits(await refund(pos, sold, key))
        no = await approve(desk, first, "reject", note="no bill")
        assert (no.status, no.json()["status"]) == (200, "rejected")
        second = waits(await refund(pos, sold, key))
        assert second != first
        assert shop.reasons(await approve(desk, first)) == ["approval_over", "decided_already"]


async def test_a_change_of_what_was_approved_voids_it(
    staff: Staff, office: Client, pos: Client
) -> None:
    """Another amount, another state of the sale, and another rule are other requests."""
    boss_too = await rule(staff, OVER_50)
    finance = await staff.hired("finance")
    sold, key = await sale(office, staff, pos, 20_000), shop.new_key()
    async with staff.client_of(finance.token) as desk, boss_too as other:
        approved = waits(await refund(pos, sold, key, amount=shop.yuan(6_000)))
        await approve(desk, approved)
        changed = waits(await refund(pos, sold, key, amount=shop.yuan(6_001)))
        assert await status(desk, approved) == "void"
        await approve(desk, changed)
        assert (await refund(pos, sold, shop.new_key(), amount=shop.yuan(1))).status == 201
        moved = waits(await refund(pos, sold, key, amount=shop.yuan(6_001)))
        assert moved != changed
        await approve(desk, moved)
        stricter = {"version": 1, "rules": [{**OVER_50, "approvers": 2}]}
        agreed = waits(await staff.boss.post("/v1/authority", stricter))
        assert (await approve(other, agreed)).status == 200
        assert (await staff.boss.post("/v1/authority", stricter)).status == 201
        assert waits(await refund(pos, sold, key, amount=shop.yuan(6_001))) != moved


async def test_approved_and_forgotten_is_over_in_a_day(
    staff: Staff, office: Client, pos: Client
) -> None:
    await rule(staff, OVER_50)
    finance = await staff.hired("finance")
    sold, key = await sale(office, staff, pos), shop.new_key()
    async with staff.client_of(finance.token) as desk:
        late = waits(await refund(pos, sold, key))
        await approve(desk, late)
        await shop.change(
            staff.postgres,
            staff.tenant.merchant_id,
            "update approval set expires_at = clock_timestamp() where approval_id = $1",
            late,
        )
        assert await status(desk, late) == "expired"
        assert waits(await refund(pos, sold, key)) != late
        listed = await desk.get("/v1/approvals?status=expired")
        assert [one["id"] for one in listed.json()["data"]] == [late]


async def test_whoever_asked_may_give_it_up(staff: Staff, office: Client) -> None:
    await rule(staff, {"kind": "template.publish", "roles": ["checker"]})
    approval_id = waits(await staff.boss.post("/v1/card-templates", TEMPLATE))
    given_up = await approve(staff.boss, approval_id, "reject")
    assert given_up.json()["status"] == "withdrawn"


@pytest.mark.parametrize("kind", ["template.publish", "api_key.create", "role.grant"])
async def test_what_was_approved_is_done_once(staff: Staff, kind: str) -> None:
    """By whoever asked, and by nobody else."""
    await rule(staff, {"kind": kind, "roles": ["checker"]})
    checker = await staff.hired("checker")
    cashier = await staff.hired("cashier", staff.tenant.store_ids[0])
    path, body = {
        "template.publish": ("/v1/card-templates", TEMPLATE),
        "api_key.create": ("/v1/api-keys", {"name": "Till 12", "scopes": ["cards:read"]}),
        "role.grant": (
            f"/v1/users/{cashier.user_id}/roles",
            {"role": "auditor", "node_id": staff.tenant.merchant_id},
        ),
    }[kind]
    another = await staff.hired("owner")
    async with staff.client_of(checker.token) as desk, staff.client_of(another.token) as rival:
        approval_id = waits(await staff.boss.post(path, body))
        assert (await approve(desk, approval_id)).status == 200
        assert waits(await rival.post(path, body)) != approval_id
        done = await staff.boss.post(path, body)
        assert done.status == 201, done.body
        assert await status(desk, approval_id) == "used"
        again = await staff.boss.post(path, body)
        if kind == "role.grant":  # they have it
            assert again.status == 200
        else:
            assert waits(again) != approval_id


async def test_a_day_is_reopened_when_another_agrees(
    staff: Staff, office: Client, pos: Client
) -> None:
    await rule(staff, {"kind": "day.reopen", "roles": ["finance"]})
    finance, store_id = await staff.hired("finance"), staff.tenant.store_ids[0]
    sold = await sale(office, staff, pos)
    day = (await pos.get(f"/v1/receipts/{sold}")).json()["business_date"]
    path = f"/v1/stores/{store_id}/days/{day}"
    assert (await pos.post(f"{path}/close", {"change_no": 0})).status == 200
    body = {"change_no": 1, "reason": "counted wrong"}
    approval_id = waits(await office.post(f"{path}/reopen", body))
    async with staff.client_of(finance.token) as desk:
        await approve(desk, approval_id)
    assert (await office.post(f"{path}/reopen", body)).json()["status"] == "open"


async def test_a_key_that_had_its_answer_gets_it_again(
    staff: Staff, office: Client, pos: Client
) -> None:
    """Whatever the rules are by then."""
    sold, key = await sale(office, staff, pos), shop.new_key()
    first = await refund(pos, sold, key)
    await rule(staff, OVER_50)
    assert (await refund(pos, sold, key)).body == first.body


async def test_the_database_lets_nobody_decide_what_they_asked_for(
    staff: Staff, office: Client, pos: Client
) -> None:
    """Whatever a program says: the asker is in the key that a decision refers to."""
    await rule(staff, OVER_50)
    manager = await staff.hired("store_manager", staff.tenant.store_ids[0])
    sold = await sale(office, staff, pos)
    async with staff.client_of(manager.token) as desk:
        approval_id = waits(await refund(desk, sold, shop.new_key()))
    forged = """
        insert into approval_decision (merchant_id, approval_id, user_id, responsible_id,
          session_id, approved, decided_at)
        select merchant_id, $1, $2, $3, 'ses', true, clock_timestamp() from merchant
        where merchant_id = current_setting('kafang.merchant_id')"""
    merchant_id = staff.tenant.merchant_id
    for responsible, refusal in (
        (manager.user_id, asyncpg.CheckViolationError),
        (new_id("usr"), asyncpg.ForeignKeyViolationError),
    ):
        with pytest.raises(refusal):
            await shop.change(
                staff.postgres, merchant_id, forged, approval_id, manager.user_id, responsible
            )


async def test_at_a_till_one_sees_its_own_store(staff: Staff, office: Client, pos: Client) -> None:
    await rule(staff, OVER_50, {"kind": "template.publish", "roles": ["checker"]})
    waits(await staff.boss.post("/v1/card-templates", TEMPLATE))
    here = waits(await refund(pos, await sale(office, staff, pos), shop.new_key()))
    async with staff.client_of(staff.tenant.pos_keys[1]) as other_till:
        assert (await other_till.get(f"/v1/approvals/{here}")).status == 403
        assert (await other_till.get("/v1/approvals")).json()["data"] == []
    assert [one["id"] for one in (await pos.get("/v1/approvals")).json()["data"]] == [here]
    assert len((await office.get("/v1/approvals?status=open")).json()["data"]) == 2
