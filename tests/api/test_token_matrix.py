"""Every route × every kind of credential, from a table that is kept by hand.

A route that isn't in the table fails. What is refused is refused in the same words whatever is
wrong with the credential, and what isn't a member's own is answered like what isn't there.
THREAT-T12, THREAT-T15.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct

from service.api_keys import operations as api_keys
from service.api_keys import store as rows
from service.kernel import database, tokens
from service.kernel.embedded import Server as Postgres
from service.kernel.ids import new_id
from service.kernel.routes import Route
from service.ledger.door import Keys
from tests.api import shop
from tests.api.conftest import ROUTES
from tests.conftest import ClientOf, require_whole
from tests.harness import contract
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server

# What each is answered; ok: neither 401 nor 403. The last three are tokens of members.
KINDS = ("pos", "other store's pos", "merchant", "other merchant", "member", "other member",
         "other tenant's member")  # fmt: skip
TABLE = {
    #                        pos  pos2 mer  mer2 mbr  mbr2 mbr3
    "create_card_template": "403  403  ok   ok   403  403  403",
    "list_card_templates":  "403  403  200  200  403  403  403",
    "get_card_template":    "403  403  200  404  403  403  403",
    "issue_card":           "ok   ok   ok   ok   403  403  403",
    "look_up_card":         "ok   ok   ok   ok   403  403  403",
    "get_card":             "200  200  200  404  200  404  404",
    "get_statement":        "200  200  200  404  200  404  404",
    "get_card_record":      "200  200  200  404  403  403  403",
    "activate_card":        "ok   ok   ok   ok   403  403  403",
    "freeze_card":          "403  403  ok   ok   403  403  403",
    "unfreeze_card":        "403  403  ok   ok   403  403  403",
    "create_member":        "ok   ok   ok   ok   403  403  403",
    "list_members":         "200  200  200  200  403  403  403",
    "look_up_member":       "ok   ok   ok   ok   403  403  403",
    "get_member":           "200  200  200  404  200  404  404",
    "change_member_phone":  "ok   ok   ok   ok   403  403  403",
    "change_member_name":   "ok   ok   ok   ok   403  403  403",
    "unmask_member":        "403  403  403  403  403  403  403",
    "copy_member_data":     "403  403  403  403  403  403  403",
    "erase_member":         "403  403  403  403  403  403  403",
    "place_legal_hold":     "403  403  403  403  403  403  403",
    "list_legal_holds":     "403  403  403  403  403  403  403",
    "release_legal_hold":   "403  403  403  403  403  403  403",
    "list_member_cards":    "200  200  200  404  200  404  404",
    "bind_card":            "ok   ok   ok   ok   403  403  403",
    "unbind_card":          "ok   ok   ok   ok   403  403  403",
    "issue_member_token":   "403  403  ok   ok   403  403  403",
    "sign_out_member":      "403  403  ok   ok   403  403  403",
    "create_top_up":        "ok   ok   ok   ok   403  403  403",
    "quote_redemption":     "ok   ok   ok   ok   403  403  403",
    "create_redemption":    "ok   ok   ok   ok   403  403  403",
    "find_redemptions":     "200  403  200  200  403  403  403",
    "get_redemption":       "200  403  200  404  403  403  403",
    "create_refund":        "ok   ok   ok   ok   403  403  403",
    "void_redemption":      "ok   ok   ok   ok   403  403  403",
    "create_reversal":      "ok   ok   ok   ok   403  403  403",
    "get_receipt":          "200  403  200  404  403  403  403",
    "get_last_operation":   "200  403  200  404  403  403  403",
    "get_day":              "200  403  200  404  403  403  403",
    "close_day":            "ok   ok   ok   ok   403  403  403",
    "reopen_day":           "403  403  ok   ok   403  403  403",
    "report_liability":     "403  403  200  200  403  403  403",
    "report_movements":     "403  403  200  200  403  403  403",
    "report_settlements":   "403  403  200  200  403  403  403",
    "report_operations":    "403  403  200  200  403  403  403",
    "list_events":          "403  403  200  200  403  403  403",
    "list_audit_entries":   "403  403  200  200  403  403  403",
    "move_test_clock":      "403  403  ok   ok   403  403  403",
    "create_store":         "403  403  ok   ok   403  403  403",
    "list_stores":          "403  403  200  200  403  403  403",
    "get_store":            "403  403  200  404  403  403  403",
    "list_policies":        "403  403  200  200  403  403  403",
    "get_policy":           "403  403  200  404  403  403  403",
    "change_policy":        "403  403  403  403  403  403  403",
    "move_store":           "403  403  ok   ok   403  403  403",
    "create_area":          "403  403  ok   ok   403  403  403",
    "list_areas":           "403  403  200  200  403  403  403",
    "move_area":            "403  403  ok   ok   403  403  403",
    "list_sessions":        "403  403  403  403  403  403  403",
    "end_session":          "403  403  403  403  403  403  403",
    "sign_out":             "403  403  403  403  403  403  403",
    "begin_totp":           "403  403  403  403  403  403  403",
    "confirm_totp":         "403  403  403  403  403  403  403",
    "invite_user":          "403  403  403  403  403  403  403",
    "list_users":           "403  403  403  403  403  403  403",
    "get_user":             "403  403  403  403  403  403  403",
    "give_role":            "403  403  403  403  403  403  403",
    "revoke_role":          "403  403  403  403  403  403  403",
    "disable_user":         "403  403  403  403  403  403  403",
    "enable_user":          "403  403  403  403  403  403  403",
    "reset_user":           "403  403  403  403  403  403  403",
    "list_roles":           "403  403  403  403  403  403  403",
    "get_me":               "403  403  403  403  403  403  403",
    "change_password":      "403  403  403  403  403  403  403",
    "create_api_key":       "403  403  403  403  403  403  403",
    "list_api_keys":        "403  403  403  403  403  403  403",
    "rotate_api_key":       "403  403  403  403  403  403  403",
    "revoke_api_key":       "403  403  403  403  403  403  403",
    "list_approvals":       "200  200  200  200  403  403  403",
    "get_approval":         "404  404  404  404  403  403  403",
    "approve":              "403  403  403  403  403  403  403",
    "reject":               "403  403  403  403  403  403  403",
    "get_authority":        "200  200  200  200  403  403  403",
    "change_authority":     "403  403  403  403  403  403  403",
    "begin_visit":          "403  403  403  403  403  403  403",
    "list_visits":          "403  403  403  403  403  403  403",
    "end_visit":            "403  403  403  403  403  403  403",
    "sign_in":              "400  400  400  400  400  400  400",
    "redeem_ticket":        "400  400  400  400  400  400  400",
    "list_error_codes":     "200  200  200  200  200  200  200",
    "live":                 "200  200  200  200  200  200  200",
    "ready":                "200  200  200  200  200  200  200",
}  # fmt: skip
# Whatever is asked for with one of these, unless the route is open to all.
WORTHLESS = ("none", "malformed", "revoked", "expired", "forged", "signed out", "issuer revoked",
             "of another secret", "spliced")  # fmt: skip
OPEN = {"list_error_codes": 200, "live": 200, "ready": 200, "sign_in": 400, "redeem_ticket": 400}
PERIOD = "?opening_at=2026-01-01T00:00:00Z"
QUERIES = {
    "find_redemptions": "?request_no=none&store_id={store_id}",
    "get_last_operation": "?terminal_id=T2&store_id={store_id}",
    "report_movements": PERIOD,
    "report_settlements": PERIOD,
    "report_operations": PERIOD,
}


class World(Struct):
    """What the paths name, a member's own, and every kind of credential as it is shown."""

    ids: dict[str, str]
    shown: dict[str, str]
    line: Client


def key_of(server: Server) -> bytes:
    """What the server signs tokens with."""
    return Keys.of(bytes.fromhex((server.data_dir / "secret_key").read_text())).member_token


def signed(token: str, key: bytes, other_key: bytes = b"", **claims: Any) -> str:
    """The same token, but for these claims, or signed with another key."""
    found = tokens.parse_member_token(token, key)
    assert found is not None
    changed = tokens.MemberClaims(
        **{**{n: getattr(found, n) for n in found.__struct_fields__}, **claims}
    )
    return tokens.sign_member_token(changed, "test", other_key or key)


def changed(token: str, place: int) -> str:
    """The same token, but for one character."""
    return token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :]


@pytest.fixture(name="world", scope="module")
async def _world(server: Server, postgres: Postgres, client_of: ClientOf) -> AsyncIterator[World]:
    tenant, other = [
        await tenants.make(postgres.app_dsn, client_of, stores_count=2) for _ in range(2)
    ]
    [store_id, _], key = tenant.store_ids, key_of(server)
    pool = await database.open_pool(postgres.app_dsn, 1)
    async with client_of(tenant.merchant_key) as office, client_of(other.merchant_key) as theirs:
        card = await shop.funded(office, tenant, 10_000)
        sale = await shop.sold(office, card, 100, store_id=store_id, till={"terminal_id": "T2"})
        [mine, another, spare] = [await shop.member(office) for _ in range(3)]
        assert (await shop.bind(office, mine, card)).status == 201
        token, of_another = [await shop.token(office, member) for member in (mine, another)]
        of_theirs = await shop.token(theirs, await shop.member(theirs))
        ended = await shop.token(office, spare)
        assert (await office.post(f"/v1/members/{spare}/sign-out", {})).status == 200
        made = [
            await api_keys.create(pool, tenant.merchant_id, name, "merchant", None)
            for name in ("revoked", "issuer")
        ]
        async with client_of(made[1].token) as issuer:
            of_issuer = await shop.token(issuer, mine)
        for each in made:
            assert await api_keys.revoke(pool, tenant.merchant_id, each.api_key_id)
    unsigned = await key_that_signs(pool, tenant.merchant_id)
    await pool.close()
    shown = {
        "pos": tenant.pos_keys[0], "other store's pos": tenant.pos_keys[1],
        "merchant": tenant.merchant_key, "other merchant": other.merchant_key,
        "member": token, "other member": of_another, "other tenant's member": of_theirs,
        "none": "", "malformed": token[:-1], "revoked": made[0].token,
        "expired": signed(token, key, expires_at=datetime.now(UTC) - timedelta(milliseconds=1)),
        "forged": changed(token, len(token) - 30), "signed out": ended,
        "issuer revoked": of_issuer, "of another secret": signed(token, key, b"k" * 32),
        "spliced": of_theirs[:35] + token[35:], "unsigned": unsigned,
    }  # fmt: skip
    ids = {
        "card_id": card.card_id, "template_id": tenant.template_id, "redemption_id": sale,
        "operation_id": sale, "store_id": store_id, "node_id": store_id, "member_id": mine,
        "spare": spare,
        "business_date": contract.BUSINESS_DATE, "area_id": "are_" + "0" * 26,
        "user_id": "usr_" + "0" * 26, "session_id": "ses_" + "0" * 26,
        "api_key_id": "key_" + "0" * 26, "grant_id": "grt_" + "0" * 26,
        "approval_id": "apv_" + "0" * 26, "legal_hold_id": "lgh_" + "0" * 26,
        "visit_id": "vis_" + "0" * 26,
    }  # fmt: skip
    async with client_of() as line:
        yield World(ids, shown, line)
    for merchant in (tenant, other):
        await require_whole(postgres, merchant.merchant_id)


async def key_that_signs(pool: database.Pool, merchant_id: str) -> str:
    """One that may do everything, of which nothing is signed here."""
    text, api_key_id = tokens.new_token(merchant_id, "test"), new_id("key")
    row = (api_key_id, "ERP", tokens.hash_of(text), list(api_keys.MERCHANT_SCOPES), None)
    async with database.tenant(pool, merchant_id) as connection:
        await rows.insert(connection, merchant_id, *row, signed=True)
    return text


async def ask(world: World, route: Route, kind: str, **ids: str) -> Response:
    """A route with a kind of credential; what would change something has a body that can't be."""
    ids = world.ids | ids
    if route.method == "POST":
        ids["member_id"] = ids["spare"]
    path = (route.path + QUERIES.get(route.operation_id, "")).format(**ids)
    token = world.shown[kind]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if route.method == "POST":
        headers |= {"Content-Type": "application/json", "Idempotency-Key": shop.new_key()}
    body = b'{"colour":"red"}' if route.body is not None else b""
    return await world.line.request(route.method, path, body, headers)


def test_every_route_is_in_the_table() -> None:
    assert {route.operation_id for route in ROUTES} == set(TABLE)


@pytest.mark.parametrize("route", ROUTES, ids=[route.operation_id for route in ROUTES])
async def test_a_route_answers_each_kind_as_the_table_says(world: World, route: Route) -> None:
    wanted = dict(zip(KINDS, TABLE[route.operation_id].split(), strict=True))
    answers = {kind: await ask(world, route, kind) for kind in wanted}
    told = {kind: str(answer.status) for kind, answer in answers.items()}
    for kind, status in wanted.items():
        if status == "ok":
            assert told[kind] not in ("401", "403"), kind
            told[kind] = "ok"
    assert told == wanted
    neutral = {
        shop.without_request_id(answers[kind]) for kind in KINDS[4:] if told[kind] in ("403", "404")
    }
    assert len(neutral) <= 1


@pytest.mark.parametrize("route", ROUTES, ids=[route.operation_id for route in ROUTES])
async def test_whatever_is_worthless_is_answered_alike(world: World, route: Route) -> None:
    answers = {kind: await ask(world, route, kind) for kind in WORTHLESS}
    wanted = OPEN.get(route.operation_id, 401)
    assert {kind: answer.status for kind, answer in answers.items()} == dict.fromkeys(
        WORTHLESS, wanted
    )
    if wanted == 401:
        assert len({shop.without_request_id(answer) for answer in answers.values()}) == 1
        assert len({tuple(sorted(answer.headers)) for answer in answers.values()}) == 1


@pytest.mark.parametrize("route", ROUTES, ids=[route.operation_id for route in ROUTES])
async def test_a_key_that_signs_is_no_use_alone(world: World, route: Route) -> None:
    """Negative control: read as any other key, it is answered as the merchant's own."""
    answer = await ask(world, route, "unsigned")
    wanted = OPEN.get(route.operation_id, 401)
    assert answer.status == wanted
    assert wanted != 401 or shop.reasons(answer) == ["signature_missing"]


OWN = [route for route in ROUTES if " 200  404  404" in TABLE[route.operation_id]]


@pytest.mark.parametrize("route", OWN, ids=[route.operation_id for route in OWN])
async def test_what_is_not_ones_own_is_not_there(world: World, route: Route) -> None:
    absent = {"card_id": "crd_" + "0" * 26, "member_id": "mbr_" + "0" * 26}
    answers = [
        await ask(world, route, "merchant", **absent),
        await ask(world, route, "member", **absent),
        await ask(world, route, "other member"),
        await ask(world, route, "other tenant's member"),
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({shop.without_request_id(answer) for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
    assert len(OWN) == 4


async def test_a_token_is_good_for_nothing_but_its_own_words(world: World, server: Server) -> None:
    """The controls: the same, signed by us, is good until its end; any character changed is not."""
    [route] = [route for route in ROUTES if route.operation_id == "get_member"]
    token, key = world.shown["member"], key_of(server)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    world.shown |= {"signed": signed(token, key, expires_at=soon), "later": ""}
    assert (await ask(world, route, "signed")).status == 200
    for claims in ({"generation": 2}, {"member_id": "mbr_" + "0" * 26}, {"secret_hash": b"x" * 32}):
        world.shown["later"] = signed(token, key, **claims)
        assert (await ask(world, route, "later")).status == 401, claims
    for place in range(0, len(token), 7):
        world.shown["later"] = changed(token, place)
        assert (await ask(world, route, "later")).status == 401, place
