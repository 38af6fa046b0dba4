"""People: invited, in, up and out again. THREAT-T8."""

import asyncio
import base64
import time

import pytest

from service.kernel.embedded import Server as Postgres
from service.sessions import rules
from tests.api import shop
from tests.api.staff import Staff
from tests.harness import people
from tests.harness.client import Client

RIGHT, WRONG = people.PASSWORD, "Seven*Lamps over 2 roofs"


async def test_somebody_comes_in(staff: Staff) -> None:
    made = await staff.invited("Chen.Yu@xinghe.example")
    assert made["user"]["masked_email"] == "c***@xinghe.example"
    ticket = {"token": made["token"]}
    weak = await staff.guest.post("/v1/tickets/redeem", {**ticket, "password": "kafang1"})
    assert weak.status == 422
    assert {"password_too_short", "password_too_plain"} <= set(shop.reasons(weak))
    assert (
        await staff.guest.post("/v1/tickets/redeem", {**ticket, "password": RIGHT})
    ).status == 200
    again = await staff.guest.post("/v1/tickets/redeem", {**ticket, "password": RIGHT})
    assert (again.status, again.json()["code"]) == (409, "ticket_refused")
    person = people.Person(made["user"]["id"], "chen.yu@XINGHE.example", "", "")
    started = (await staff.sign_in(person)).json()
    async with staff.client_of(started["token"]) as own:
        me = (await own.get("/v1/me")).json()
    assert me["user"]["id"] == person.user_id == started["user_id"]
    assert (me["second_factor"], "cards:read" in me["permissions"]) == (False, True)
    assert "redemptions:write" in me["withheld"]


async def test_an_invitation_is_good_until_the_next(staff: Staff) -> None:
    made = await staff.invited("a@xinghe.example")
    again = await staff.boss.post(f"/v1/users/{made['user']['id']}/reset", {})
    for token, status in ((made["token"], 409), (again.json()["token"], 200)):
        body = {"token": token, "password": RIGHT}
        assert (await staff.guest.post("/v1/tickets/redeem", body)).status == status


async def test_a_way_in_ends_when_its_holder_gets_more(staff: Staff) -> None:
    """Whoever kept a token for a cashier isn't let in as what the cashier became."""
    made = await staff.invited("a@xinghe.example")
    more = {"role": "auditor", "node_id": staff.tenant.merchant_id}
    assert (await staff.boss.post(f"/v1/users/{made['user']['id']}/roles", more)).status == 201
    body = {"token": made["token"], "password": RIGHT}
    assert (await staff.guest.post("/v1/tickets/redeem", body)).status == 409


@pytest.mark.parametrize("how", ["disabled", "demoted"])
async def test_who_may_no_more_leaves_no_way_in(staff: Staff, how: str) -> None:
    manager = await staff.hired("store_manager", staff.tenant.store_ids[0])
    invitation = {
        "email": "a@xinghe.example", "role": "cashier", "node_id": staff.tenant.store_ids[0]
    }  # fmt: skip
    async with staff.client_of(manager.token) as own:
        made = (await own.post("/v1/users", invitation)).json()
    path = f"/v1/users/{manager.user_id}"
    [grant] = (await staff.boss.get(path)).json()["roles"]
    act = "/disable" if how == "disabled" else f"/roles/{grant['id']}/revoke"
    sent = {"version": 2} if how == "disabled" else {}
    assert (await staff.boss.post(path + act, sent)).status == 200
    body = {"token": made["token"], "password": RIGHT}
    assert (await staff.guest.post("/v1/tickets/redeem", body)).status == 409


async def test_what_one_may_at_a_store_isnt_for_another(staff: Staff, office: Client) -> None:
    """A manager here who is a cashier there reverses others' requests here alone."""
    here, there = staff.tenant.store_ids
    person = await staff.hired("store_manager", here)
    more = {"role": "cashier", "node_id": there}
    assert (await staff.boss.post(f"/v1/users/{person.user_id}/roles", more)).status == 201
    card = await shop.funded(office, staff.tenant, 1_000)
    async with staff.client_of(person.token) as own:
        for store_id, status in ((here, 201), (there, 403)):
            key = shop.new_key()
            await shop.sold(office, card, 10, store_id=store_id, key=key)
            body = {"idempotency_key": key}
            answer = await own.post("/v1/reversals", body, shop.new_key())
            assert answer.status == status, answer.body


async def test_T8_whatever_is_wrong_is_told_in_the_same_words(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    disabled = await staff.hired("cashier", staff.tenant.store_ids[0])
    body = {"version": 2}
    assert (await staff.boss.post(f"/v1/users/{disabled.user_id}/disable", body)).status == 200
    nobody = people.Person("", "nobody@xinghe.example", "", "")
    answers = [
        await staff.sign_in(person, WRONG),
        await staff.sign_in(nobody),
        await staff.sign_in(disabled),
        await staff.guest.post("/v1/sessions", {
            "merchant_id": "mer_" + "0" * 26, "email": person.email, "password": RIGHT
        }),
    ]  # fmt: skip
    assert {answer.status for answer in answers} == {401}
    assert len({shop.without_request_id(answer) for answer in answers}) == 1


async def test_T8_who_fails_often_waits_and_strangers_lock_out_strangers(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    device = (await staff.sign_in(person)).json()["device_token"]
    for _ in range(rules.PLACE_TRIES):
        assert (await staff.sign_in(person, WRONG)).status == 401
    late = await staff.sign_in(person)
    assert (late.status, late.json()["code"]) == (429, "sign_in_delayed")
    assert 1 <= int(late.headers["retry-after"]) <= rules.WAIT_MAX_S
    assert (await staff.sign_in(person, device_token=device)).status == 201
    other = await staff.hired("cashier", staff.tenant.store_ids[0])
    assert (await staff.sign_in(other, device_token=device)).status == 201
    for _ in range(rules.PLACE_TRIES):  # another's token is no token
        assert (await staff.sign_in(other, WRONG, device_token=device)).status == 401
    assert (await staff.sign_in(other, device_token=device)).status == 429


async def test_T8_many_tries_at_once_pass_no_limit(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0])

    async def guess() -> int:
        async with staff.client_of() as line:
            body = {"merchant_id": staff.tenant.merchant_id, "email": person.email}
            return (await line.post("/v1/sessions", {**body, "password": WRONG})).status

    statuses = await asyncio.gather(*(guess() for _ in range(20)))
    assert statuses.count(401) == rules.PLACE_TRIES
    assert set(statuses) == {401, 429}


def code_of(secret: str, steps: int = 0) -> str:
    """What an authenticator shows, now or so many steps from now."""
    at = (int(time.time()) // rules.STEP_S + steps) * rules.STEP_S
    return rules.totp(base64.b32decode(secret)).generate(at).decode()


async def test_a_second_factor(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0], second_factor=False)
    async with staff.client_of(person.token) as own:
        refused = await own.get("/v1/members")
        assert shop.reasons(refused) == ["second_factor_required"]
        begun = (await own.post("/v1/me/totp", {"password": RIGHT})).json()
        wrong = await own.post("/v1/me/totp/confirm", {"one_time_code": "000000"})
        assert shop.reasons(wrong) == ["code_wrong"]
        code = {"one_time_code": code_of(begun["secret"])}
        codes = (await own.post("/v1/me/totp/confirm", code)).json()["recovery_codes"]
        assert (await own.get("/v1/me")).status == 401  # every session is over
    assert (await staff.sign_in(person)).json()["code"] == "second_factor_needed"
    assert (await staff.sign_in(person, one_time_code="000000")).json()["code"] == "sign_in_failed"
    used = code_of(begun["secret"], 1)
    started = await staff.sign_in(person, one_time_code=used)
    assert started.json()["second_factor"] is True
    assert (await staff.sign_in(person, one_time_code=used)).status == 401  # good once
    for status in (201, 401):
        assert (await staff.sign_in(person, one_time_code=codes[0])).status == status
    async with staff.client_of(started.json()["token"]) as own:
        assert (await own.get("/v1/members")).status == 200
    reset = await staff.boss.post(f"/v1/users/{person.user_id}/reset", {"second_factor": True})
    assert reset.json()["user"]["second_factor"] is False
    assert (await staff.sign_in(person, one_time_code=codes[1])).json()["second_factor"] is False


async def test_who_has_an_authenticator_changes_a_password_with_its_code(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0], second_factor=False)
    async with staff.client_of(person.token) as own:
        begun = (await own.post("/v1/me/totp", {"password": RIGHT})).json()
        code = {"one_time_code": code_of(begun["secret"])}
        codes = (await own.post("/v1/me/totp/confirm", code)).json()["recovery_codes"]
    assert len({code.replace("-", "") for code in codes}) == 10
    assert {len(code.replace("-", "")) for code in codes} == {26}, "5 bits each"
    started = await staff.sign_in(person, one_time_code=code_of(begun["secret"], 1))
    body = {"current_password": RIGHT, "new_password": "Nine+Kettles 7 under ice"}
    async with staff.client_of(started.json()["token"]) as own:
        for wrong in ({}, {"one_time_code": "000000"}):
            refused = await own.post("/v1/me/password", {**body, **wrong})
            assert (refused.status, shop.reasons(refused)) == (422, ["code_wrong"])
        named = {**body, "new_password": "青禾美发 Kettles+7 ice", "one_time_code": codes[0]}
        weak = await own.post("/v1/me/password", named)
        assert weak.status == 422, "the merchant's name is in it"
        done = await own.post("/v1/me/password", {**body, "one_time_code": codes[1]})
        assert done.status == 200


async def test_trying_codes_is_held_up_as_trying_passwords_is(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0], second_factor=False)
    async with staff.client_of(person.token) as own:
        begun = (await own.post("/v1/me/totp", {"password": RIGHT})).json()
        await own.post("/v1/me/totp/confirm", {"one_time_code": code_of(begun["secret"])})
    started = await staff.sign_in(person, one_time_code=code_of(begun["secret"], 1))
    body = {"current_password": RIGHT, "new_password": "Nine+Kettles 7 under ice"}
    async with staff.client_of(started.json()["token"]) as own:
        tried = [
            (await own.post("/v1/me/password", {**body, "one_time_code": "000000"})).status
            for _ in range(8)
        ]
    assert tried[0] == 422
    assert tried[-1] == 429


async def test_a_session_ends_with_its_time(staff: Staff, postgres: Postgres) -> None:
    merchant_id = staff.tenant.merchant_id
    for column in ("last_used_at", "expires_at"):
        person = await staff.hired("auditor")
        old = f"update user_session set {column} = now() - interval '1 day' where session_id = $1"
        await shop.change(postgres, merchant_id, old, person.session_id)
        async with staff.client_of(person.token) as own:
            assert (await own.get("/v1/me")).status == 401


async def test_where_one_is_signed_in(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    other = (await staff.sign_in(person)).json()
    async with staff.client_of(person.token) as own, staff.client_of(other["token"]) as second:
        found = (await own.get("/v1/me/sessions")).json()["data"]
        assert {each["id"]: each["current"] for each in found} == {
            person.session_id: True, other["session_id"]: False
        }  # fmt: skip
        ended = await own.post(f"/v1/me/sessions/{other['session_id']}/end", {})
        assert ended.json() == {"ended": 1}
        assert (await second.get("/v1/me")).status == 401
        assert (await own.get("/v1/me")).status == 200


async def test_another_password_ends_the_other_sessions(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    other = (await staff.sign_in(person)).json()
    body = {"current_password": RIGHT, "new_password": "Nine+Kettles 7 under ice"}
    async with staff.client_of(person.token) as own, staff.client_of(other["token"]) as second:
        refused = await own.post("/v1/me/password", {**body, "current_password": WRONG})
        assert shop.reasons(refused) == ["password_wrong"]
        assert (await own.post("/v1/me/password", body)).json() == {"ended": 1}
        assert (await own.get("/v1/me")).status == 200
        assert (await second.get("/v1/me")).status == 401
    assert (await staff.sign_in(person)).status == 401
    assert (await staff.sign_in(person, body["new_password"])).status == 201


async def test_an_area_is_what_is_in_it_now(staff: Staff, office: Client) -> None:
    areas = [
        (await office.post("/v1/areas", {"name": name})).json()["id"] for name in ("east", "west")
    ]
    body = {"code": "S1", "name": "S1", "legal_entity": "x", "parent_id": areas[0]}
    store_id = (await office.post("/v1/stores", body)).json()["id"]
    manager = await staff.hired("area_manager", areas[0])
    async with staff.client_of(manager.token) as own:
        listed = (await own.get("/v1/stores")).json()["data"]
        assert [store["id"] for store in listed] == [store_id]
        assert (await own.get(f"/v1/stores/{store_id}/days/2026-03-01")).status == 200
        moved = {"parent_id": areas[1], "from_parent_id": areas[0]}
        assert (await office.post(f"/v1/stores/{store_id}/move", moved)).status == 200
        assert (await own.get("/v1/stores")).json()["data"] == []
        assert (await own.get(f"/v1/stores/{store_id}/days/2026-03-01")).status == 403
        inside = {"parent_id": areas[0], "from_parent_id": None}
        assert (await office.post(f"/v1/areas/{areas[1]}/move", inside)).status == 200
        assert (await own.get(f"/v1/stores/{store_id}/days/2026-03-01")).status == 200


async def test_a_contract_limits_keys_and_people_of_a_franchisee(
    staff: Staff, office: Client
) -> None:
    body = {"code": "F1", "name": "F1", "legal_entity": "x", "contract": ["cards:read"]}
    store_id = (await office.post("/v1/stores", body)).json()["id"]
    manager = await staff.hired("store_manager", store_id)
    key = {"name": "till", "scopes": ["cards:read", "top_ups:write"], "store_id": store_id}
    made = (await staff.boss.post("/v1/api-keys", key)).json()
    card = await shop.issue(office, staff.tenant)
    for token in (manager.token, made["token"]):
        async with staff.client_of(token) as own:
            assert (await own.get(f"/v1/cards/{card.card_id}")).status == 200
            assert (await shop.top_up(own, card, 100, store_id=store_id)).status == 403


async def test_what_a_person_does_is_theirs(staff: Staff, office: Client) -> None:
    """At their own store where they name none; the feed says who and in which session."""
    store_id = staff.tenant.store_ids[0]
    cashier = await staff.hired("cashier", store_id)
    card = await shop.funded(office, staff.tenant, 1_000)
    async with staff.client_of(cashier.token) as own:
        sale = await shop.sold(own, card, 100)
        assert (await own.get(f"/v1/redemptions/{sale}")).json()["store_id"] == store_id
        undone = await office.post(f"/v1/redemptions/{sale}/void", {}, shop.new_key())
        assert undone.status in (200, 201), undone.body
    async with asyncio.timeout(30):
        while True:
            events = (await office.get("/v1/events?limit=1000")).json()["data"]
            done = {
                event["operation"]["operation_id"]: event["actor"]
                for event in events
                if event["operation"] is not None
            }
            if sale in done:
                break
    assert done[sale] == {
        "kind": "user", "id": cashier.user_id, "session_id": cashier.session_id
    }  # fmt: skip


async def test_a_key_is_exchanged(staff: Staff, office: Client) -> None:
    body = {"name": "till", "scopes": ["cards:read"], "networks": ["127.0.0.0/8"]}
    made = (await staff.boss.post("/v1/api-keys", body)).json()
    path = f"/v1/api-keys/{made['key']['id']}"
    after = (await staff.boss.post(f"{path}/rotate", {"overlap_s": 60})).json()
    card = await shop.issue(office, staff.tenant)
    for token in (made["token"], after["token"]):
        async with staff.client_of(token) as own:
            assert (await own.get(f"/v1/cards/{card.card_id}")).status == 200
    again = await staff.boss.post(f"{path}/rotate", {"overlap_s": 0})
    assert (again.status, shop.reasons(again)) == (409, ["api_key_rotated"])
    assert again.json()["reasons"][0]["existing_id"] == after["key"]["id"]
    assert (await staff.boss.post(f"{path}/revoke", {})).status == 200
    async with staff.client_of(made["token"]) as own:
        assert (await own.get(f"/v1/cards/{card.card_id}")).status == 401
    async with asyncio.timeout(30):  # it is noted beside the request
        while True:
            listed = (await staff.boss.get("/v1/api-keys")).json()["data"]
            used = {key["id"] for key in listed if key["last_used_at"] is not None}
            if {made["key"]["id"], after["key"]["id"]} <= used:
                break


async def test_a_key_of_another_network_opens_nothing(staff: Staff) -> None:
    body = {"name": "till", "scopes": ["cards:read"], "networks": ["10.0.0.0/8"]}
    made = (await staff.boss.post("/v1/api-keys", body)).json()
    async with staff.client_of(made["token"]) as own:
        refused = await own.get("/v1/cards/crd_" + "0" * 26)
    assert (refused.status, shop.reasons(refused)) == (403, ["network_not_allowed"])


async def test_it_is_written_down_who_did_what_to_whom(staff: Staff) -> None:
    made = await staff.invited("c@xinghe.example")
    user_id = made["user"]["id"]
    given = {"role": "store_manager", "node_id": staff.tenant.store_ids[1]}
    assert (await staff.boss.post(f"/v1/users/{user_id}/roles", given)).status == 201
    assert (await staff.boss.post(f"/v1/users/{user_id}/disable", {"version": 1})).status == 200
    found = (await staff.boss.get(f"/v1/audit-entries?object_id={user_id}")).json()["data"]
    actions = [entry["action"] for entry in found]
    assert actions == ["user.disabled", "role.granted", "user.invited", "role.granted"]
    assert {entry["actor"]["kind"] for entry in found} == {"user"}
    assert found[1]["after"] == given
