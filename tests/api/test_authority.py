"""The rules themselves, and ways around them. THREAT-T10."""

from tests.api import shop
from tests.api.staff import Staff
from tests.api.waiting import OVER_50, approve, refund, rule, sale, waits
from tests.harness.client import Client


async def test_a_day_of_small_refunds(staff: Staff, office: Client, pos: Client) -> None:
    """Counted by the employee whom the till names; another one begins anew."""
    by_day = {"kind": "refund", "day_amount_above": 250, "roles": ["finance"]}
    await rule(staff, by_day, {"kind": "refund", "day_count_above": 9, "roles": ["finance"]})
    sold = await sale(office, staff, pos)
    body = {"amount": shop.yuan(100), "till": {"operator": "0417"}}
    for _ in range(2):
        key = shop.new_key()
        first, again = await refund(pos, sold, key, **body), await refund(pos, sold, key, **body)
        assert (first.status, again.status) == (201, 201)
    waits(await refund(pos, sold, shop.new_key(), **body))
    assert (await refund(pos, sold, shop.new_key(), amount=shop.yuan(100))).status == 201


async def test_an_invitation_is_a_role_too(staff: Staff) -> None:
    """And what waits holds no address."""
    await rule(staff, {"kind": "role.grant", "roles": ["checker"]})
    checker = await staff.hired("checker")
    body = {
        "email": "chen.yu@xinghe.example",
        "role": "cashier",
        "node_id": staff.tenant.store_ids[0],
    }
    approval_id = waits(await staff.boss.post("/v1/users", body))
    async with staff.client_of(checker.token) as desk:
        shown = await desk.get(f"/v1/approvals/{approval_id}")
        assert b"chen.yu" not in shown.body
        await approve(desk, approval_id)
    assert (await staff.boss.post("/v1/users", body)).status == 201


async def test_rules_are_not_made_by_one_alone(staff: Staff) -> None:
    rules = [OVER_50]
    alone = await staff.boss.post("/v1/authority", {"version": 0, "rules": rules})
    assert (alone.status, shop.reasons(alone)) == (422, ["nobody_could_approve"])
    other = await rule(staff, OVER_50)
    late = await staff.boss.post("/v1/authority", {"version": 0, "rules": []})
    assert (late.status, late.json()["code"]) == (409, "authority_moved")
    body = {"version": 1, "rules": []}
    approval_id = waits(await staff.boss.post("/v1/authority", body))
    async with other as owner:
        assert (await approve(owner, approval_id)).status == 200
    assert (await staff.boss.post("/v1/authority", body)).json() == {"version": 2, "rules": []}
    nonsense = {"kind": "role.grant", "roles": ["owner"], "amount_above": 1, "day_count_above": 1}
    wrong = await staff.boss.post("/v1/authority", {"version": 2, "rules": [nonsense]})
    assert shop.reasons(wrong) == ["one_limit", "limit_unfit"]


async def test_nobody_makes_a_second_person_of_themselves(staff: Staff) -> None:
    """Under any rules: no puppet who decides, no way into the account of one, no sleeper awake."""
    checker, cashier = (
        await staff.hired("checker"),
        await staff.hired("cashier", staff.tenant.store_ids[0]),
    )
    before = await staff.boss.post(f"/v1/users/{checker.user_id}/reset", {})
    assert before.status == 201, "without rules nothing waits"
    await rule(staff, OVER_50)
    puppet = {
        "email": "puppet@qinghe.example",
        "role": "checker",
        "node_id": staff.tenant.merchant_id,
    }
    waits(await staff.boss.post("/v1/users", puppet))
    role = {"role": "finance", "node_id": staff.tenant.merchant_id}
    waits(await staff.boss.post(f"/v1/users/{cashier.user_id}/roles", role))
    waits(await staff.boss.post(f"/v1/users/{checker.user_id}/reset", {"second_factor": True}))
    seen = (await staff.boss.get(f"/v1/users/{checker.user_id}")).json()["version"]
    path = f"/v1/users/{checker.user_id}"
    assert (await staff.boss.post(f"{path}/disable", {"version": seen})).status == 200
    waits(await staff.boss.post(f"{path}/enable", {"version": seen + 1}))
    assert (await staff.boss.post(f"/v1/users/{cashier.user_id}/reset", {})).status == 201


async def test_a_day_is_counted_whatever_was_sent_before_under_the_key(
    staff: Staff, office: Client, pos: Client
) -> None:
    """Where one may do nothing, nothing is counted; of what one key asked, the most is."""
    by_day = {"kind": "refund", "day_amount_above": 150, "roles": ["finance"]}
    await rule(staff, by_day)
    sold = await sale(office, staff, pos)
    async with staff.client_of(staff.tenant.pos_keys[1]) as other_till:
        card = await shop.funded(office, staff.tenant, 10_000)
        elsewhere = await shop.sold(other_till, card, 5_000)
    answers = []
    for _ in range(2):
        key = shop.new_key()
        refused = await refund(pos, elsewhere, key, amount=shop.yuan(1))
        assert (refused.status, refused.json()["code"]) == (403, "store_not_allowed")
        answers.append(await refund(pos, sold, key, amount=shop.yuan(100)))
    assert answers[0].status == 201
    waits(answers[1])


async def test_what_waits_about_a_store_that_is_not_there(staff: Staff) -> None:
    await rule(staff, {"kind": "api_key.create", "roles": ["checker"]})
    body = {"name": "Till 12", "scopes": ["cards:read"], "store_id": "sto_" + "0" * 26}
    answer = await staff.boss.post("/v1/api-keys", body)
    assert (answer.status, shop.reasons(answer)) == (422, ["store_unknown"])


async def test_a_rotated_key_is_a_new_key(staff: Staff) -> None:
    made = await staff.boss.post("/v1/api-keys", {"name": "Till 12", "scopes": ["cards:read"]})
    await rule(staff, {"kind": "api_key.create", "roles": ["checker"]})
    waits(await staff.boss.post(f"/v1/api-keys/{made.json()['key']['id']}/rotate", {}))
