"""The platform's people at a merchant: for a reason, for an hour, and no longer than both want."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest
from msgspec import Struct

from service.kernel import database
from service.kernel.embedded import Server as Postgres
from tests.api import shop
from tests.api.staff import Staff
from tests.harness import people, platform
from tests.harness.client import Client, Response
from tests.harness.people import Person

SUPPORT = "platform_support"


class Door(Struct):
    """The platform's side of things."""

    staff: Staff
    platform_id: str
    admin: Person

    async def hired(self, role: str = SUPPORT) -> Person:
        """Somebody who works at the platform, signed in."""
        return await people.hire(self.staff.pool, self.staff.keys, self.platform_id, role)

    async def visit(self, visitor: Person, role: str = "visiting_support") -> tuple[str, Person]:
        """A visit to the merchant."""
        merchant_id = self.staff.tenant.merchant_id
        return await platform.visit(self.staff.client_of, visitor, merchant_id, role)

    async def ask(self, person: Person, method: str, path: str, body: object = None) -> Response:
        """As that person."""
        async with self.staff.client_of(person.token) as line:
            return await (line.get(path) if method == "GET" else line.post(path, body or {}))


@pytest.fixture(name="door")
async def _door(staff: Staff) -> Door:
    platform_id = await platform.tenant_of(staff.pool)
    admin = await people.hire(staff.pool, staff.keys, platform_id, "platform_admin")
    return Door(staff, platform_id, admin)


async def test_a_visitor_looks_and_both_sides_know_it(door: Door) -> None:
    staff, visitor = door.staff, await door.hired()
    visit_id, there = await door.visit(visitor)
    me = (await door.ask(there, "GET", "/v1/me")).json()
    assert me["user"]["status"] == "visiting"
    assert {"cards:read", "redemptions:read"} <= set(me["permissions"])
    assert not {name for name in me["permissions"] if name.endswith(":write")}
    assert (await door.ask(there, "GET", "/v1/card-templates")).status == 200
    [seen] = (await staff.boss.get("/v1/visits")).json()["data"]
    assert (seen["id"], seen["user_id"]) == (visit_id, visitor.user_id)
    assert (seen["reason"], seen["ended_at"]) == (platform.REASON, None)
    listed = (await door.ask(door.admin, "GET", "/v1/visits")).json()["data"]
    assert seen in listed
    for entries in (
        (await staff.boss.get(f"/v1/audit-entries?object_id={visit_id}")).json()["data"],
        (await door.ask(door.admin, "GET", f"/v1/audit-entries?object_id={visit_id}")).json()[
            "data"
        ],
    ):
        [entry] = entries
        assert (entry["action"], entry["reason"]) == ("visit.began", platform.REASON)
        assert entry["actor"]["id"] == visitor.user_id
        assert entry["after"]["merchant_id"] == staff.tenant.merchant_id


async def test_what_a_visitor_looks_at_is_in_the_merchants_trail(
    door: Door, office: Client
) -> None:
    member_id = await shop.member(office, phone="13800138000")
    officer = await door.hired("platform_compliance")
    _, there = await door.visit(officer, "visiting_compliance")
    wanted = {"fields": ["phone"], "purpose": "dispute", "note": "工单 20481"}
    shown = await door.ask(there, "POST", f"/v1/members/{member_id}/unmask", wanted)
    assert (shown.status, shown.json()["phone"]) == (200, "+8613800138000")
    found = await door.staff.boss.get(f"/v1/audit-entries?object_id={member_id}")
    actors = [
        entry["actor"]["id"]
        for entry in found.json()["data"]
        if entry["action"] == "member.unmasked"
    ]
    assert actors == [officer.user_id]


Act = Callable[[Door, Person, Person, str], Awaitable[Response]]


def _by_admin(path: str, body: object = None) -> Act:
    async def act(door: Door, visitor: Person, _there: Person, visit_id: str) -> Response:
        user = f"/v1/users/{visitor.user_id}"
        [grant] = (await door.ask(door.admin, "GET", user)).json()["roles"]
        where = path.format(user=user, grant=grant["id"], visit=f"/v1/visits/{visit_id}")
        return await door.ask(door.admin, "POST", where, body)

    return act


async def _by_owner(door: Door, _visitor: Person, _there: Person, visit_id: str) -> Response:
    return await door.staff.boss.post(f"/v1/visits/{visit_id}/end", {})


async def _by_signing_out(door: Door, _visitor: Person, there: Person, _id: str) -> Response:
    return await door.ask(there, "POST", "/v1/me/sign-out")


async def _at_home(door: Door, visitor: Person, _there: Person, _id: str) -> Response:
    return await door.ask(visitor, "POST", "/v1/me/sign-out")


async def _one_session(door: Door, visitor: Person, _there: Person, _id: str) -> Response:
    return await door.ask(visitor, "POST", f"/v1/me/sessions/{visitor.session_id}/end")


async def _by_another(door: Door, visitor: Person, _there: Person, _id: str) -> Response:
    body = {"merchant_id": door.staff.tenant.merchant_id, "role": "visiting_support"}
    return await door.ask(visitor, "POST", "/v1/visits", body | {"reason": platform.REASON})


async def _by_another_password(door: Door, visitor: Person, _there: Person, _id: str) -> Response:
    made = await door.ask(door.admin, "POST", f"/v1/users/{visitor.user_id}/reset", {})
    body = {"token": made.json()["token"], "password": people.PASSWORD}
    return await door.staff.guest.post("/v1/tickets/redeem", body)


@pytest.mark.parametrize(
    ("act", "by"),
    [
        (_by_admin("{visit}/end"), "admin"),
        (_by_admin("{user}/disable", {"version": 2}), "admin"),
        (_by_admin("{user}/roles/{grant}/revoke"), "admin"),
        (_by_admin("{user}/reset", {"second_factor": True}), "admin"),
        (_by_owner, "owner"),
        (_by_signing_out, "visitor"),
        (_at_home, "visitor"),
        (_one_session, "visitor"),
        (_by_another, "visitor"),
        (_by_another_password, "visitor"),
    ],
    ids=[
        *("the platform", "disabled", "demoted", "without a second factor", "the merchant"),
        *("signed out", "signed out at home", "one session"),
        *("another visit", "another password"),
    ],
)
async def test_a_visit_ends_at_once(door: Door, act: Act, by: str) -> None:
    """INV-H1: what ends is over with the answer, in both tenants, and it alone; by whom is told."""
    visitor, other = await door.hired(), await door.hired()
    visit_id, there = await door.visit(visitor)
    _, stays = await door.visit(other)
    assert (await door.ask(there, "GET", "/v1/card-templates")).status == 200
    answer = await act(door, visitor, there, visit_id)
    assert answer.status in (200, 201), answer.body
    assert (await door.ask(there, "GET", "/v1/card-templates")).status == 401
    assert (await door.ask(stays, "GET", "/v1/card-templates")).status == 200
    sides = (
        (await door.staff.boss.get("/v1/visits")).json()["data"],
        (await door.ask(door.admin, "GET", "/v1/visits?limit=200")).json()["data"],
    )
    ours, theirs = ([v for v in side if v["id"] == visit_id] for side in sides)
    owner = (await door.staff.boss.get("/v1/me")).json()["user"]["id"]
    who = {"admin": door.admin.user_id, "owner": owner, "visitor": visitor.user_id}
    assert ours[0]["ended_by"] == theirs[0]["ended_by"] == who[by]
    for reader in (door.staff.boss.get, lambda path: door.ask(door.admin, "GET", path)):
        entries = (await reader(f"/v1/audit-entries?object_id={visit_id}")).json()["data"]
        assert [entry["action"] for entry in entries] == ["visit.ended", "visit.began"]
        assert entries[0]["actor"]["id"] == who[by]
    again = await door.staff.boss.post(f"/v1/visits/{visit_id}/end", {})
    assert (again.status, again.json()) == (200, ours[0])


async def test_a_visit_ends_with_its_hour(door: Door, postgres: Postgres) -> None:
    visit_id, there = await door.visit(await door.hired())
    seen = (await door.staff.boss.get("/v1/visits")).json()["data"]
    ends = "select expires_at from user_session where session_id = $1"
    async with database.tenant(door.staff.pool, door.staff.tenant.merchant_id) as connection:
        ends_at = await connection.fetchval(ends, there.session_id)
    assert {visit["id"]: datetime.fromisoformat(visit["ends_at"]) for visit in seen} == {
        visit_id: ends_at
    }
    old = "update user_session set expires_at = now() where session_id = $1"
    await shop.change(postgres, door.staff.tenant.merchant_id, old, there.session_id)
    assert (await door.ask(there, "GET", "/v1/card-templates")).status == 401


async def test_another_visit_brings_its_own_role_alone(door: Door) -> None:
    senior = await door.hired("platform_senior_reviewer")
    await door.visit(senior, "visiting_senior_reviewer")
    _, there = await door.visit(senior, "visiting_reviewer")
    assert (await door.ask(there, "GET", "/v1/audit-entries")).status == 403
    assert (await door.ask(there, "GET", "/v1/card-templates")).status == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"role": "visiting_compliance"}, "role_not_yours"),
        ({"merchant_id": "mer_" + "0" * 26}, "merchant_unknown"),
        ({"merchant_id": None}, "merchant_unknown"),
    ],
    ids=["as somebody else", "nobody's", "the platform itself"],
)
async def test_where_nobody_visits(door: Door, change: dict[str, str | None], code: str) -> None:
    visitor = await door.hired()
    body = {"merchant_id": door.staff.tenant.merchant_id, "role": "visiting_support"}
    body |= {name: value or door.platform_id for name, value in change.items()}
    answer = await door.ask(visitor, "POST", "/v1/visits", body | {"reason": platform.REASON})
    assert (answer.status, shop.reasons(answer)) == (422, [code])
    assert (await door.staff.boss.get("/v1/visits")).json()["data"] == []


async def test_a_merchant_gives_a_visitor_nothing(door: Door) -> None:
    """What it gave would be there at their next visit."""
    staff, visitor = door.staff, await door.hired()
    visit_id, there = await door.visit(visitor)
    user = f"/v1/users/{visitor.user_id}"
    for _ in range(2):  # on the visit, and once it is over
        assert visitor.user_id not in (await staff.boss.get("/v1/users")).body.decode()
        shown = (await staff.boss.get(user)).json()
        assert shown["status"] == "visiting"
        for path, body in (
            ("/roles", {"role": "owner", "node_id": staff.tenant.merchant_id}),
            ("/disable", {"version": 1}),
            ("/reset", {}),
        ):
            refused = await staff.boss.post(user + path, body)
            assert (refused.status, shop.reasons(refused)) == (409, ["user_visits"])
        await staff.boss.post(f"/v1/visits/{visit_id}/end", {})
    assert (await door.ask(there, "GET", "/v1/me")).status == 401


async def test_roles_of_the_platform_are_given_there_alone(door: Door) -> None:
    staff = door.staff
    at = {"email": "gao.ming@kafang.example"}
    body = {**at, "role": SUPPORT, "node_id": staff.tenant.merchant_id}
    assert (await staff.boss.post("/v1/users", body)).status == 403
    body = {**at, "role": "owner", "node_id": door.platform_id}
    assert (await door.ask(door.admin, "POST", "/v1/users", body)).status == 403
    body = {**at, "role": SUPPORT, "node_id": door.platform_id}
    assert (await door.ask(door.admin, "POST", "/v1/users", body)).status == 201
