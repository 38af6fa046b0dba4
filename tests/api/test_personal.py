"""What is personal of members: sealed, shown for a purpose and not too often, copied, erased.

S5-18, S5-19; CN-P-04, CN-P-05, CN-P-06; THREAT-T22.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from service.kernel.embedded import Server as Postgres
from service.personal.operations import UNMASKED_MAX
from tests.api import shop
from tests.api.staff import Staff
from tests.harness import people
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant

NAME, PHONE, E164 = "欧阳若兰", "13800138000", "+8613800138000"
WHY = {"purpose": "contact", "note": "about her refund"}


async def made(office: Client, **fields: Any) -> dict[str, Any]:
    """A member of whom phone and name are known."""
    answer = await office.post("/v1/members", {"phone": PHONE, "full_name": NAME, **fields})
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json()
    return found


async def unmasked(boss: Client, member_id: str, *fields: str, **why: str) -> Response:
    """A look at somebody."""
    body = {"fields": [*fields] or ["full_name", "phone"], **WHY, **why}
    return await boss.post(f"/v1/members/{member_id}/unmask", body)


async def erased(boss: Client, member: dict[str, Any]) -> Response:
    """They want to be forgotten."""
    body = {"version": member["version"], "note": "asked for in the app"}
    return await boss.post(f"/v1/members/{member['id']}/erase", body)


async def entries(boss: Client, member_id: str) -> list[dict[str, Any]]:
    """What the audit trail says of a member, newest first."""
    answer = await boss.get(f"/v1/audit-entries?object_id={member_id}")
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def refused(answer: Response) -> list[str]:
    """The reasons of a refusal that changed nothing."""
    assert (answer.status, answer.json()["code"]) == (409, "person_refused"), answer.body
    return shop.reasons(answer)


def keys_of(server: Server, member_id: str) -> int:
    """How many keys of somebody there are."""
    store = sqlite3.connect(server.data_dir / "person_keys.db")
    try:
        (found,) = store.execute(
            "select count(*) from wrapped_key where owner_id = ?", (member_id,)
        ).fetchone()
        return int(found)
    finally:
        store.close()


async def test_CN_P_04_what_is_known_is_masked_until_it_is_asked_for(
    staff: Staff, office: Client
) -> None:
    member = await made(office)
    assert (member["masked_name"], member["masked_phone"]) == ("欧*", "138****8000")
    shown = await unmasked(staff.boss, member["id"])
    assert shown.json() == {"member_id": member["id"], "full_name": NAME, "phone": E164}
    part = await unmasked(staff.boss, member["id"], "phone")
    assert (part.json()["full_name"], part.json()["phone"]) == (None, E164)
    looks = [each for each in await entries(staff.boss, member["id"]) if each["reason"]]
    assert [each["after"] for each in looks] == [
        {"fields": ["phone"]},
        {"fields": ["full_name", "phone"]},
    ]
    assert looks[0]["reason"] == "contact: about her refund"
    assert looks[0]["actor"]["kind"] == "user"


async def test_the_audit_trail_holds_commitments_and_nothing_to_read(
    staff: Staff, office: Client
) -> None:
    member = await made(office)
    path = f"/v1/members/{member['id']}"
    moved = await office.post(f"{path}/phone", {"phone": "13900139000", "version": 1})
    back = await office.post(f"{path}/phone", {"phone": PHONE, "version": 2})
    named = await office.post(f"{path}/name", {"full_name": "欧阳兰", "version": 3})
    assert [each.status for each in (moved, back, named)] == [200, 200, 200]
    newest, again, first, created = await entries(staff.boss, member["id"])
    assert set(created["after"]) == {"full_name", "phone"}
    assert created["after"]["phone"] == first["before"]["phone"] == again["after"]["phone"]
    assert first["after"]["phone"] == again["before"]["phone"] != created["after"]["phone"]
    assert (
        newest["before"]["full_name"]
        == created["after"]["full_name"]
        != newest["after"]["full_name"]
    )
    told = (await staff.boss.get(f"/v1/audit-entries?object_id={member['id']}")).body.decode()
    assert not any(text in told for text in ("138001", "139001", "欧"))


async def test_a_name_is_changed_and_taken_away(staff: Staff, office: Client) -> None:
    member = await made(office)
    path = f"/v1/members/{member['id']}/name"
    late = await office.post(path, {"full_name": "欧阳兰", "version": 2})
    assert refused(late) == ["member_changed"]
    named = await office.post(path, {"full_name": " 欧阳兰 ", "version": 1})
    again = await office.post(path, {"full_name": "欧阳兰", "version": 1})
    assert (again.status, again.body) == (200, named.body), "sent once more after a time-out"
    assert (named.json()["masked_name"], named.json()["version"]) == ("欧*", 2)
    assert (await unmasked(staff.boss, member["id"])).json()["full_name"] == "欧阳兰"
    gone = await office.post(path, {"full_name": None, "version": 2})
    assert gone.json()["masked_name"] is None
    assert (await unmasked(staff.boss, member["id"])).json()["full_name"] is None
    wrong = await office.post(path, {"full_name": "a\u202eb", "version": 3})
    assert (wrong.status, shop.reasons(wrong)) == (422, ["name_invalid"])


async def test_somebody_known_by_an_id_alone_can_get_a_phone_and_a_name(
    staff: Staff, office: Client
) -> None:
    answer = await office.post("/v1/members", {"external_id": "wx-7"})
    member_id = answer.json()["id"]
    assert (await unmasked(staff.boss, member_id)).json()["phone"] is None
    await office.post(f"/v1/members/{member_id}/phone", {"phone": PHONE, "version": 1})
    await office.post(f"/v1/members/{member_id}/name", {"full_name": NAME, "version": 2})
    shown = (await unmasked(staff.boss, member_id)).json()
    assert (shown["full_name"], shown["phone"]) == (NAME, E164)


async def test_nobody_looks_at_more_people_than_an_hour_allows(
    staff: Staff, office: Client
) -> None:
    """Asked all at once, in two sessions: the count is exact."""
    member = await made(office)
    other = await staff.hired("owner")
    again = await people_session(staff, other.user_id)
    async with staff.client_of(other.token) as one, staff.client_of(again) as two:
        sessions = [one, two]

        async def look(client: Client) -> list[Response]:
            return [
                await unmasked(client, member["id"], "phone") for _ in range(UNMASKED_MAX // 2 + 5)
            ]

        answers = [each for of in await asyncio.gather(*map(look, sessions)) for each in of]
        assert sorted(each.status for each in answers) == [200] * UNMASKED_MAX + [429] * 10
        (late,) = {each.json()["code"] for each in answers if each.status == 429}
        assert late == "unmasked_too_often"
        copied = await one.post(f"/v1/members/{member['id']}/subject-access", {"note": "asked"})
        assert (copied.status, copied.headers["retry-after"]) == (429, "3600")
    assert (await unmasked(staff.boss, member["id"])).status == 200, "hers is hers"


async def people_session(staff: Staff, user_id: str) -> str:
    """One more session of somebody, signed in with a second factor."""
    person = await people.sign_in(staff.pool, staff.tenant.merchant_id, user_id, second_factor=True)
    return person.token


async def test_CN_P_06_a_copy_holds_all_that_is_known(
    staff: Staff, office: Client, pos: Client
) -> None:
    member = await made(office, external_id="wx-9")
    card = await shop.issue(office, staff.tenant)
    await shop.bind(office, member["id"], card)
    await unmasked(staff.boss, member["id"])
    path = f"/v1/members/{member['id']}/subject-access"
    copied = (await staff.boss.post(path, {"note": "asked at the counter"})).json()
    assert copied["member"] == member
    assert (copied["full_name"], copied["phone"]) == (NAME, E164)
    assert [each["card_id"] for each in copied["bindings"]] == [card.card_id]
    (look,) = copied["disclosures"]
    assert (look["by"], look["purpose"]) == ("user", "contact")
    await unmasked(staff.boss, member["id"], purpose="legal_duty")
    again = (await staff.boss.post(path, {"note": "asked again"})).json()
    assert again["disclosures"] == copied["disclosures"], "nobody is warned of an investigation"


async def test_whoever_is_erased_is_known_by_nothing(
    staff: Staff, office: Client, server: Server
) -> None:
    member = await made(office, external_id="wx-5")
    card = await shop.issue(office, staff.tenant)
    await shop.bind(office, member["id"], card)
    app = await shop.token(office, member["id"])
    assert keys_of(server, member["id"]) == 1
    done = (await erased(staff.boss, member)).json()
    assert (done["kept_for"], done["erase_at"], done["member"]["status"]) == ([], None, "erased")
    left = {"external_id": None, "masked_phone": None, "masked_name": None}
    assert {name: done["member"][name] for name in left} == left
    assert keys_of(server, member["id"]) == 0
    assert refused(await unmasked(staff.boss, member["id"])) == ["member_erased"]
    assert (await office.post("/v1/members/lookup", {"phone": PHONE})).status == 404
    async with staff.client_of(app) as theirs:
        assert (await theirs.get(f"/v1/members/{member['id']}")).status == 401
    path = f"/v1/members/{member['id']}"
    assert refused(await office.post(f"{path}/tokens", {})) == ["member_erased"]
    assert refused(await office.post(f"{path}/phone", {"phone": PHONE, "version": 3})) == [
        "member_erased"
    ]
    assert refused(await shop.bind(office, member["id"], card)) == ["member_erased"]
    assert (await made(office))["id"] != member["id"], "somebody new has the phone"
    assert (await shop.bind(office, (await made_again(office))["id"], card)).status == 201
    assert (await erased(staff.boss, member)).json() == done, "once more changes nothing"


async def made_again(office: Client) -> dict[str, Any]:
    """Whoever has the phone now."""
    found: dict[str, Any] = (await office.post("/v1/members", {"phone": PHONE})).json()
    return found


async def test_nobody_is_erased_whose_cards_have_value(staff: Staff, office: Client) -> None:
    member = await made(office)
    card = await shop.funded(office, staff.tenant, 5_000)
    await shop.bind(office, member["id"], card)
    answer = await erased(staff.boss, member)
    assert refused(answer) == ["cards_have_value"]
    assert answer.json()["reasons"][0]["allowed"] == [card.card_id]
    assert (await unmasked(staff.boss, member["id"])).json()["full_name"] == NAME


async def test_CN_M_09_the_holder_of_a_named_card_is_kept_for_five_years(
    staff: Staff, office: Client, server: Server, postgres: Postgres, tenant: Tenant
) -> None:
    await shop.move_clock(office, "2030-03-01T07:00:00Z")
    named = await shop.publish(office, holder="named")
    member = await made(office, external_id="wx-1")
    card = await shop.issue(office, staff.tenant, named)
    await shop.bind(office, member["id"], card)
    app = await shop.token(office, member["id"])
    kept = (await erased(staff.boss, member)).json()
    assert (kept["kept_for"], kept["erase_at"]) == (["registration"], None), "the card is theirs"
    over = "update card_binding set unbound_at = now(), unbound_by = 'x' where card_id = $1"
    await shop.change(postgres, tenant.merchant_id, over, card.card_id)
    kept = (await erased(staff.boss, member)).json()
    assert kept["kept_for"] == ["registration"]
    assert kept["erase_at"] == "2035-02-28T16:00:00Z"
    assert kept["member"]["status"] == "restricted"
    for known in ({"phone": PHONE}, {"external_id": "wx-1"}):
        assert (await office.post("/v1/members/lookup", known)).status == 404
    async with staff.client_of(app) as theirs:
        assert (await theirs.get(f"/v1/members/{member['id']}")).status == 401
    assert refused(await unmasked(staff.boss, member["id"])) == ["member_restricted"]
    for purpose in ("dispute", "legal_duty"):
        shown = await unmasked(staff.boss, member["id"], purpose=purpose)
        assert shown.json()["full_name"] == NAME
    path = f"/v1/members/{member['id']}"
    for change in (
        office.post(f"{path}/name", {"full_name": "x", "version": 2}),
        office.post(f"{path}/phone", {"phone": PHONE, "version": 2}),
        office.post(f"{path}/tokens", {}),
        shop.bind(office, member["id"], card),
    ):
        assert refused(await change) == ["member_restricted"]
    await shop.move_clock(office, "2035-02-28T15:59:59Z")
    assert (await erased(staff.boss, member)).json()["kept_for"] == ["registration"]
    await shop.move_clock(office, "2035-02-28T16:00:00Z")
    assert (await erased(staff.boss, member)).json()["member"]["status"] == "erased"
    assert keys_of(server, member["id"]) == 0


async def test_a_hold_keeps_what_is_known_until_it_is_released(
    staff: Staff, office: Client
) -> None:
    member = await made(office)
    path = f"/v1/members/{member['id']}/legal-holds"
    placed = [(await staff.boss.post(path, {"reason": "court order"})).json() for _ in range(2)]
    kept = (await erased(staff.boss, member)).json()
    assert (kept["kept_for"], kept["erase_at"]) == (["legal_hold"], None)
    for hold in placed:
        assert (await erased(staff.boss, member)).json()["member"]["status"] == "restricted"
        over = await staff.boss.post(f"{path}/{hold['id']}/release", {})
        again = await staff.boss.post(f"{path}/{hold['id']}/release", {})
        assert over.json()["released_at"] is not None
        assert again.body == over.body
    listed = (await staff.boss.get(path)).json()["data"]
    assert [each["id"] for each in listed] == [placed[1]["id"], placed[0]["id"]]
    assert (await erased(staff.boss, member)).json()["member"]["status"] == "erased"
    late = await staff.boss.post(path, {"reason": "too late"})
    assert refused(late) == ["member_erased"]


async def test_another_version_erases_nobody(staff: Staff, office: Client) -> None:
    member = await made(office)
    answer = await erased(staff.boss, {**member, "version": 2})
    assert refused(answer) == ["member_changed"]
    assert (await unmasked(staff.boss, member["id"])).json()["full_name"] == NAME


async def test_money_moves_while_keys_cant_be_had(
    staff: Staff, office: Client, pos: Client, locked_keys: sqlite3.Connection
) -> None:
    card = await shop.funded(office, staff.tenant, 5_000)
    waiting = asyncio.create_task(office.post("/v1/members", {"phone": PHONE}))
    sold = await shop.redeem(pos, card, 1_000)
    assert sold.status == 201
    known = await pos.post("/v1/members", {"external_id": "wx-1"})
    assert known.status == 201, "who has nothing personal needs no key"
    answer = await waiting
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert answer.json()["outcome"] == "not_applied"
    locked_keys.rollback()
    assert (await office.post("/v1/members", {"phone": PHONE})).status == 201


@pytest.fixture(name="locked_keys")
async def _locked_keys(server: Server) -> AsyncIterator[sqlite3.Connection]:
    """Somebody else has the key store for themselves."""
    store = sqlite3.connect(server.data_dir / "person_keys.db", timeout=30)
    store.execute("begin exclusive")
    yield store
    store.close()


async def test_what_is_swapped_between_people_doesnt_open(
    staff: Staff, office: Client, postgres: Postgres, tenant: Tenant
) -> None:
    """Whoever writes the database can't show one person's phone as another's: it is refused."""
    one = await made(office)
    two = await made(office, phone="13900139000")
    owner = await asyncpg.connect(postgres.owner_dsn)
    try:
        async with owner.transaction():
            await owner.execute(
                "select set_config('kafang.merchant_id', $1, true)", tenant.merchant_id
            )
            await owner.execute(
                "update member m set phone_sealed = o.phone_sealed from member o "
                "where m.member_id = $1 and o.member_id = $2",
                one["id"],
                two["id"],
            )
    finally:
        await owner.close()
    answer = await unmasked(staff.boss, one["id"])
    assert refused(answer) == ["unreadable"]
    assert (await unmasked(staff.boss, two["id"])).json()["phone"] == "+8613900139000"


async def test_a_phone_that_an_older_version_changed_isnt_shown(
    staff: Staff, office: Client, postgres: Postgres, tenant: Tenant
) -> None:
    """It knows the index and the mask alone: what is sealed is the phone before."""
    member = await made(office)
    moved = "update member set phone_index = sha256('other') where member_id = $1"
    await shop.change(postgres, tenant.merchant_id, moved, member["id"])
    shown = (await unmasked(staff.boss, member["id"])).json()
    assert (shown["full_name"], shown["phone"]) == (NAME, None)


async def test_tills_go_on_while_many_wait_for_keys(
    staff: Staff, office: Client, pos: Client, locked_keys: sqlite3.Connection
) -> None:
    """Who waits for a key holds a connection; they are few."""
    card = await shop.funded(office, staff.tenant, 5_000)
    lines = [staff.client_of(staff.tenant.merchant_key) for _ in range(24)]
    waiting = [
        asyncio.create_task(line.post("/v1/members", {"phone": f"138{number:08d}"}))
        for number, line in enumerate(lines)
    ]
    while not all(task.done() for task in waiting):
        assert (await pos.get(f"/v1/cards/{card.card_id}")).status == 200
        assert (await shop.redeem(pos, card, 1)).status == 201
    assert {(await task).status for task in waiting} == {503}
    for line in lines:
        line.drop()
