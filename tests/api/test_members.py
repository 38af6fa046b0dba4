"""Members over HTTP: who they are, which cards are theirs, and what their tokens read."""

import asyncio
from typing import Any

import asyncpg
import pytest

from service.api_keys import operations as api_keys
from service.kernel import database
from service.kernel.embedded import Server
from service.members.rules import CARDS_MAX
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client, Response
from tests.harness.server import Server as Service
from tests.harness.tenant import TEMPLATE, Tenant, TestCard

PHONE, OTHER_PHONE = "13800138000", "13900139000"
BOTH = {"external_id": "wx-1", "phone": PHONE}


def taken(answer: Response) -> list[tuple[str, str]]:
    """Why a member can't be so, and who is."""
    assert (answer.status, answer.json()["code"]) == (409, "member_exists"), answer.body
    return [(reason["code"], reason["existing_id"]) for reason in answer.json()["reasons"]]


def refusals(answer: Response) -> list[str]:
    """The reasons of a refusal that changed nothing."""
    assert (answer.status, answer.json()["code"]) == (409, "member_refused"), answer.body
    return shop.reasons(answer)


async def unbind(client: Client, member_id: str, card: TestCard, binding_no: int = 1) -> Response:
    """Let a card go."""
    path = f"/v1/members/{member_id}/cards/{card.card_id}/unbind"
    return await client.post(path, {"binding_no": binding_no})


async def cards(client: Client, member_id: str) -> list[str]:
    """The ids of the cards that are a member's."""
    answer = await client.get(f"/v1/members/{member_id}/cards")
    assert answer.status == 200, answer.body
    return [card["id"] for card in answer.json()["data"]]


async def versions(client: Client, card: TestCard) -> list[int]:
    """Which lines of a statement are shown."""
    answer = await client.get(f"/v1/cards/{card.card_id}/statement")
    assert answer.status == 200, answer.body
    return [line["version"] for line in answer.json()["data"]]


async def test_whoever_is_known_by_all_that_is_given_is_answered(pos: Client) -> None:
    first = await pos.post("/v1/members", BOTH)
    assert first.status == 201
    assert first.json()["masked_phone"] == "138****8000"
    for again in (BOTH, {"phone": PHONE}, {"external_id": "wx-1"}, {"phone": f"+86{PHONE}"}):
        answer = await pos.post("/v1/members", again)
        assert (answer.status, answer.body) == (200, first.body), again
    assert (await pos.get("/v1/members")).json()["data"] == [first.json()]


async def test_one_of_two_that_is_known_with_another_partner(pos: Client) -> None:
    first = await shop.member(pos, **BOTH)
    second = await shop.member(pos, external_id="wx-2")
    for body, wanted in (
        ({"external_id": "wx-1", "phone": OTHER_PHONE}, [("external_id_taken", first)]),
        ({"external_id": "wx-3", "phone": PHONE}, [("phone_taken", first)]),
        ({"external_id": "wx-2", "phone": OTHER_PHONE}, [("external_id_taken", second)]),
        (
            {"external_id": "wx-2", "phone": PHONE},
            [("external_id_taken", second), ("phone_taken", first)],
        ),
    ):
        assert taken(await pos.post("/v1/members", body)) == wanted, body
    assert len((await pos.get("/v1/members")).json()["data"]) == 2


async def test_many_at_once_are_one_member(tenant: Tenant, client_of: ClientOf) -> None:
    """Negative control: looked for by one, then by the other, some were told of another member."""
    people = [{"external_id": f"wx-{n}", "phone": f"1380013{8000 + n}"} for n in range(12)]

    async def make() -> list[Response]:
        async with client_of(tenant.pos_keys[0]) as client:
            return [await client.post_patiently("/v1/members", person) for person in people]

    for answers in zip(*await asyncio.gather(*[make() for _ in range(16)]), strict=True):
        assert sorted(answer.status for answer in answers) == [200] * 15 + [201]
        assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("phone", ["138 0013 8000", "23800138000", "+8613800138", "0086", "手机"])
async def test_what_is_no_phone(pos: Client, phone: str) -> None:
    for path in ("/v1/members", "/v1/members/lookup"):
        answer = await pos.post(path, {"phone": phone})
        assert (answer.status, shop.reasons(answer)) == (422, ["phone_invalid"])
        assert phone not in answer.body.decode("utf-8")
    assert (await pos.get("/v1/members")).json()["data"] == []


async def test_nothing_to_know_somebody_by(pos: Client) -> None:
    assert shop.reasons(await pos.post("/v1/members", {})) == ["at_least_one"]
    for body in ({}, BOTH):
        answer = await pos.post("/v1/members/lookup", body)
        assert (answer.status, shop.reasons(answer)) == (422, ["exactly_one"])
        assert answer.json()["reasons"][0]["allowed"] == ["external_id", "phone"]


async def test_a_member_with_all_cards_in_one_call(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    member_id = await shop.member(pos, **BOTH)
    held = [await shop.funded(office, tenant, 30_000 + n) for n in range(3)]
    assert (await cards(pos, member_id)) == []
    for card in held:
        assert (await shop.bind(pos, member_id, card)).status == 201
    for body in ({"phone": PHONE}, {"external_id": "wx-1"}):
        found = (await pos.post("/v1/members/lookup", body)).json()
        shown = found.pop("cards")
        assert found == (await pos.get(f"/v1/members/{member_id}")).json()
        for card, seen in zip(held, shown, strict=True):
            assert seen.pop("binding_no") == 1
            assert seen.pop("bound_at")
            assert seen == (await pos.get(f"/v1/cards/{card.card_id}")).json()
            assert len(seen["lots"]) == 2  # what was paid, and the bonus
    unknown = [
        await pos.post("/v1/members/lookup", body)
        for body in ({"phone": OTHER_PHONE}, {"external_id": "wx-9"})
    ]
    assert {answer.status for answer in unknown} == {404}
    assert len({shop.without_request_id(answer) for answer in unknown}) == 1


async def test_another_phone(pos: Client) -> None:
    member_id, other = await shop.member(pos, **BOTH), await shop.member(pos)
    path = f"/v1/members/{member_id}/phone"
    done = await pos.post(path, {"phone": OTHER_PHONE, "version": 1})
    assert (done.status, done.json()["version"]) == (200, 2)
    assert done.json()["masked_phone"] == "139****9000"
    # After a time-out the same again: it has the phone, whatever version was seen.
    assert (await pos.post(path, {"phone": OTHER_PHONE, "version": 1})).body == done.body
    assert refusals(await pos.post(path, {"phone": PHONE, "version": 1})) == ["member_moved"]
    stolen = await pos.post(f"/v1/members/{other}/phone", {"phone": OTHER_PHONE, "version": 1})
    assert taken(stolen) == [("phone_taken", member_id)]
    assert (await pos.post("/v1/members/lookup", {"phone": PHONE})).status == 404
    assert (await pos.post("/v1/members/lookup", {"phone": OTHER_PHONE})).json()["id"] == member_id


async def test_a_phone_is_nowhere(
    pos: Client, tenant: Tenant, other: Tenant, client_of: ClientOf, postgres: Server,
    server: Service,
) -> None:  # fmt: skip
    phone = "13871524936"
    await shop.member(pos, phone=phone)
    async with client_of(other.merchant_key) as theirs:
        await shop.member(theirs, phone=phone)
    rows = []
    owner = await asyncpg.connect(postgres.owner_dsn)
    for merchant_id in (tenant.merchant_id, other.merchant_id):
        await owner.execute("select set_config('kafang.merchant_id', $1, false)", merchant_id)
        rows += await owner.fetch("select m::text as text, phone_index from member m")
    await owner.close()
    assert len({row["phone_index"] for row in rows}) == 2, "each merchant has an index of its own"
    assert not [row for row in rows if phone in row["text"]]
    assert phone not in server.log.read_text("utf-8")


async def test_members_newest_first_in_pages(pos: Client) -> None:
    made = [await shop.member(pos) for _ in range(5)]
    first = (await pos.get("/v1/members?limit=3")).json()
    rest = (await pos.get(f"/v1/members?limit=3&cursor={first['next_cursor']}")).json()
    shown = [member["id"] for member in first["data"] + rest["data"]]
    assert (sorted(shown), rest["next_cursor"]) == (sorted(made), None)
    assert shown == sorted(shown, reverse=True)


async def test_a_card_is_one_members(pos: Client, office: Client, tenant: Tenant) -> None:
    member_id, other = await shop.member(pos), await shop.member(pos)
    card = await shop.issue(office, tenant)
    path = f"/v1/members/{member_id}/cards"
    done = await pos.post(path, {"card_number": card.number})
    assert done.status == 201
    for again in ({"card_number": card.number}, {"card_id": card.card_id}):
        answer = await pos.post(path, again)
        assert (answer.status, answer.body) == (200, done.body)
    refused = await shop.bind(pos, other, card)
    assert refusals(refused) == ["card_bound"]
    assert refused.json()["reasons"][0]["existing_id"] == member_id
    for body in ({}, {"card_id": card.card_id, "card_number": card.number}):
        assert shop.reasons(await pos.post(path, body)) == ["exactly_one"]


async def test_a_card_that_is_not_sold_yet_has_no_number(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    member_id = await shop.member(pos)
    dormant = await shop.issue(office, tenant, activate=False)
    answers = [
        await pos.post(f"/v1/members/{member_id}/cards", {"card_number": number})
        for number in (dormant.number, "8800000000000000")
    ]
    assert {(a.status, a.json()["code"]) for a in answers} == {(404, "card_not_found")}
    assert len({shop.without_request_id(answer) for answer in answers}) == 1
    assert (await shop.bind(pos, member_id, dormant)).status == 201


async def test_what_is_let_go_is_kept_as_history(
    pos: Client, office: Client, tenant: Tenant, postgres: Server
) -> None:
    member_id, other = await shop.member(pos), await shop.member(pos)
    card = await shop.issue(office, tenant)
    await shop.bind(pos, member_id, card)
    assert (await unbind(pos, other, card)).status == 404
    assert (await unbind(pos, member_id, card, 2)).status == 404
    done = await unbind(pos, member_id, card)
    assert done.status == 200
    assert done.json()["unbound_at"]
    assert (await unbind(pos, member_id, card)).body == done.body
    assert (await shop.bind(pos, other, card)).json()["binding_no"] == 2
    assert (await unbind(pos, other, card, 2)).status == 200
    assert (await shop.bind(pos, member_id, card)).json()["binding_no"] == 3
    # One that comes late doesn't end the binding after.
    assert (await unbind(pos, member_id, card)).body == done.body
    assert await cards(pos, member_id) == [card.card_id]
    assert (await shop.rows(postgres, tenant.merchant_id))["card_binding"] == 3


async def test_a_card_in_a_name_stays(pos: Client, office: Client, tenant: Tenant) -> None:
    named = await shop.publish(office, **{**TEMPLATE, "holder": "named"})
    card, member_id = await shop.issue(office, tenant, named), await shop.member(pos)
    await shop.bind(pos, member_id, card)
    assert refusals(await unbind(pos, member_id, card)) == ["card_named"]
    assert await cards(pos, member_id) == [card.card_id]


async def test_no_more_cards_than_can_be_shown(pos: Client, office: Client, tenant: Tenant) -> None:
    member_id = await shop.member(pos)
    held = [await shop.issue(office, tenant) for _ in range(CARDS_MAX + 1)]
    answers = [await shop.bind(pos, member_id, card) for card in held]
    assert [answer.status for answer in answers] == [201] * CARDS_MAX + [409]
    assert refusals(answers[-1]) == ["too_many_cards"]
    assert len(await cards(pos, member_id)) == CARDS_MAX
    assert (await shop.bind(pos, member_id, held[0])).status == 200
    assert (await unbind(pos, member_id, held[0])).status == 200
    assert (await shop.bind(pos, member_id, held[-1])).status == 201


async def test_a_token_reads_what_is_the_members_and_nothing_else(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    member_id, card = await shop.member(pos), await shop.funded(office, tenant, 500)
    await shop.bind(pos, member_id, card)
    issued = await office.post(f"/v1/members/{member_id}/tokens", {"expires_in_s": 60})
    assert issued.status == 201
    assert issued.headers["cache-control"] == "no-store"
    assert issued.json()["member_id"] == member_id
    token = issued.json()["token"]
    assert token.startswith("kfm_test_")
    assert len(token) < 300
    own, at_card = f"/v1/members/{member_id}", f"/v1/cards/{card.card_id}"
    async with client_of(token) as app:
        for path in (own, f"{own}/cards", at_card, f"{at_card}/statement"):
            seen = await app.get(path)
            assert (seen.status, seen.body) == (200, (await office.get(path)).body)
        # What an app could do if it were a till.
        refused = await shop.redeem(app, card, 100, store_id=tenant.store_ids[0])
        assert (refused.status, shop.reasons(refused)) == (403, ["not_for_members"])
        assert (await unbind(pos, member_id, card)).status == 200
        assert await cards(app, member_id) == []
        for path in (at_card, f"{at_card}/statement"):
            assert (await app.get(path)).status == 404, "from the answer on it isn't theirs"


async def test_another_holders_past_is_not_shown(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    first, second = await shop.member(pos), await shop.member(pos)
    card = await shop.funded(office, tenant, 1_000)
    await shop.bind(pos, first, card)
    async with client_of(await shop.token(office, first)) as app:
        assert await versions(app, card) == [1, 2], "also what was before it had a holder"
        await unbind(pos, first, card)
        await shop.sold(pos, card, 100)
        await shop.bind(pos, first, card)
        assert await versions(app, card) == [1, 2, 3], "nobody else had it"
    await unbind(pos, first, card, 2)
    await shop.bind(pos, second, card)
    await shop.sold(pos, card, 200)
    async with client_of(await shop.token(office, second)) as app:
        assert await versions(app, card) == [4]
        page = await app.get(f"/v1/cards/{card.card_id}/statement?limit=1")
        assert page.json()["data"][0]["principal"] == 700
    assert await versions(pos, card) == [1, 2, 3, 4], "the merchant's books are whole"


async def test_a_sign_out_ends_every_token(
    pos: Client, office: Client, client_of: ClientOf
) -> None:
    member_id, other = await shop.member(pos), await shop.member(pos)
    path = f"/v1/members/{member_id}"
    apps = [client_of(await shop.token(office, member_id)) for _ in range(2)]
    unhurt = client_of(await shop.token(office, other))
    async with apps[0], apps[1], unhurt:
        assert [(await app.get(path)).status for app in apps] == [200, 200]
        assert (await office.post(f"{path}/sign-out", {})).json()["version"] == 1
        assert [(await app.get(path)).status for app in apps] == [401, 401]
        assert (await unhurt.get(f"/v1/members/{other}")).status == 200
    async with client_of(await shop.token(office, member_id)) as app:
        assert (await app.get(path)).status == 200


async def test_a_token_ends_with_the_key_it_was_issued_with(
    office: Client, tenant: Tenant, client_of: ClientOf, postgres: Server
) -> None:
    member_id = await shop.member(office)
    path = f"/v1/members/{member_id}"
    pool = await database.open_pool(postgres.app_dsn, 1)
    made = await api_keys.create(pool, tenant.merchant_id, "app", "merchant", None)
    async with client_of(made.token) as issuer:
        token = await shop.token(issuer, member_id)
    async with client_of(token) as app, client_of(await shop.token(office, member_id)) as unhurt:
        assert (await app.get(path)).status == 200
        assert await api_keys.revoke(pool, tenant.merchant_id, made.api_key_id)
        assert (await app.get(path)).status == 401, "on a line that was let in before"
        assert (await unhurt.get(path)).status == 200
    await pool.close()


async def test_a_moved_clock_ends_no_token(office: Client, client_of: ClientOf) -> None:
    member_id = await shop.member(office)
    async with client_of(await shop.token(office, member_id)) as app:
        await shop.move_clock(office, "2090-01-01T00:00:00Z")
        assert (await app.get(f"/v1/members/{member_id}")).status == 200
    issued = await office.post(f"/v1/members/{member_id}/tokens", {})
    assert issued.json()["expires_at"] < "2090"


async def test_a_suspended_merchant_changes_nothing(
    office: Client, tenant: Tenant, client_of: ClientOf, postgres: Server
) -> None:
    member_id, card = await shop.member(office), await shop.issue(office, tenant)
    await shop.bind(office, member_id, card)
    token = await shop.token(office, member_id)
    await shop.change(
        postgres, tenant.merchant_id,
        "update merchant set status = 'suspended' where merchant_id = $1", tenant.merchant_id,
    )  # fmt: skip
    path, before = f"/v1/members/{member_id}", await shop.rows(postgres, tenant.merchant_id)
    changes: list[tuple[str, Any]] = [
        ("/v1/members", {"external_id": "wx-9"}),
        (f"{path}/phone", {"phone": PHONE, "version": 1}),
        (f"{path}/cards", {"card_id": card.card_id}),
        (f"{path}/cards/{card.card_id}/unbind", {"binding_no": 1}),
        (f"{path}/tokens", {}),
        (f"{path}/sign-out", {}),
    ]
    for place, body in changes:
        answer = await office.post(place, body)
        assert (answer.status, answer.json()["code"]) == (403, "merchant_suspended"), place
    assert await shop.rows(postgres, tenant.merchant_id) == before
    async with client_of(token) as app:
        assert await cards(app, member_id) == [card.card_id], "one's money can still be seen"
