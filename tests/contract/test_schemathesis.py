"""Generated requests against the running service: nothing undeclared comes back.

Half-random requests rarely name what exists, so real ids, an existing store and the contract's own
examples are mixed in; each operation must succeed at least once, else it was not tested.
"""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from schemas.common import EXAMPLE_NUMBER
from service.api_keys import operations as api_keys
from service.kernel import database, sealing, tokens
from service.kernel.embedded import Server as Postgres
from service.kernel.sql import SQL
from service.ledger.door import Keys
from service.sessions import rules
from tests.api import shop
from tests.conftest import ClientOf, require_whole
from tests.contract.flow import ROUTES
from tests.contract.test_openapi import DOCUMENT, OPERATIONS
from tests.harness import approvals, contract, holds, people, platform
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server

EXAMPLES_PER_OPERATION = 200
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
# Holds for what is sent; a query parameter (an empty list, say) may be nothing once it is.
OF_THE_SENT = checks.negative_data_rejection
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    OF_THE_SENT,
]
# The clock is moved last: cards and lots of the others must not expire under them. And what there
# are rules for waits for somebody.
LAST = ("change_authority", "move_test_clock")
NAMES = sorted(OPERATIONS, key=lambda name: (LAST.index(name) + 1 if name in LAST else 0, name))
EXAMPLE_ID = re.compile(r"(tpl|crd|sto|rdm|mbr|are|usr|lgh)_06f2k9v3c0a1b2c3d4e5f6g7h8")
TILL = {"terminal_id": "T2"}
# What must be asked of a store.
BY_STORE = {"find_redemptions": {"request_no": "GEN-1"}, "get_last_operation": TILL}
_numbers = count(1)


class World(Struct):
    """A merchant with everything that a request can name."""

    base_url: str
    token: str
    ids: dict[str, str]
    number: str
    merchant_id: str
    pool: database.Pool
    keys: Keys
    # What an example can't know: somebody's address, a code that is right now.
    body: dict[str, Any] = {}


@pytest.fixture(name="world", scope="module")
async def _world(server: Server, postgres: Postgres, client_of: ClientOf) -> AsyncIterator[World]:
    tenant = await tenants.make(postgres.app_dsn, client_of)
    [store] = tenant.store_ids
    async with client_of(tenant.merchant_key) as office:
        card = await shop.funded(office, tenant, 50_000_000)
        sale = await shop.sold(office, card, 8_800, store_id=store)
        member_id = await shop.member(office, **ROUTES["create_member"].example_body)
        area = (await office.post("/v1/areas", {"name": "area"})).json()
    ids = {
        "tpl": tenant.template_id,
        "crd": card.card_id,
        "sto": store,
        "rdm": sale,
        "mbr": member_id,
        "are": area["id"],
        "grt": "grt_" + "0" * 26,
    }
    pool, keys = await database.open_pool(postgres.app_dsn, 1), people.keys_of(server.data_dir)
    merchant_id = tenant.merchant_id
    ids["apv"], _ = await approvals.waiting(pool, merchant_id, store)
    ids["lgh"] = await holds.placed(pool, merchant_id, member_id)
    yield World(server.base_url, tenant.merchant_key, ids, card.number, merchant_id, pool, keys)
    await pool.close()
    await require_whole(postgres, tenant.merchant_id)


async def fresh(world: World, client_of: ClientOf, name: str) -> World:
    """The world with a card and a sale that this operation alone changes."""
    async with client_of(world.token) as office:
        body = {"template_id": world.ids["tpl"], "activate": name != "activate_card"}
        issued = (await office.post("/v1/cards", body, shop.new_key())).json()
        card = tenants.TestCard(issued["id"], issued["card_number"])
        ids = {**world.ids, "crd": card.card_id}
        if name != "activate_card":
            store = {"store_id": ids["sto"]}
            await shop.top_up(office, card, 40_000_000, **store)
            ids["rdm"] = await shop.sold(office, card, 8_800, **store, till=TILL)
        if name in (
            "change_member_phone",
            "change_member_name",
            "erase_member",
        ):  # the others are found by theirs
            ids["mbr"] = await shop.member(office)
        if name == "change_member_name":  # its example comes after a change of the phone
            changed = {"phone": "13700137000", "version": 1}
            await office.post(f"/v1/members/{ids['mbr']}/phone", changed)
        if name in ("bind_card", "unbind_card"):
            await shop.bind(office, ids["mbr"], card)
        if name == "change_policy":  # the others sell at a store that nobody switches off
            body = {"code": shop.new_key(), "name": "other", "legal_entity": "other"}
            ids["sto"] = (await office.post("/v1/stores", body)).json()["id"]
        if name == "unfreeze_card":
            await office.post(f"/v1/cards/{card.card_id}/freeze", {}, shop.new_key())
    made = structs.replace(world, ids=ids, number=card.number)
    route = ROUTES[name]
    if people.is_for_people(route) or (not route.scope and route.body is not None):
        await _staffed(made, name)
    return made


async def _staffed(world: World, name: str) -> None:
    """Somebody who asks, somebody who is asked about, and what they would send."""
    pool, keys, merchant_id, ids = world.pool, world.keys, world.merchant_id, world.ids
    owner = await people.hire(pool, keys, merchant_id, "owner")
    other = await people.hire(pool, keys, merchant_id, "cashier", ids["sto"])
    spare = await people.sign_in(pool, merchant_id, owner.user_id, second_factor=True)
    key = await api_keys.create(pool, merchant_id, "spare", "merchant", None)
    world.token = owner.token
    ids |= {"usr": other.user_id, "ses": spare.session_id, "key": key.api_key_id}
    platform_id = await platform.tenant_of(pool)
    visitor = await people.hire(pool, keys, platform_id, "platform_support")
    host, _, port = world.base_url.removeprefix("http://").partition(":")
    line_of = partial(Client, host, int(port))
    ids["vis"], _ = await platform.visit(line_of, visitor, merchant_id, "visiting_support")
    if name == "begin_visit":
        world.token = visitor.token
    ids["apv"], digest = await approvals.waiting(pool, merchant_id, ids["sto"])
    secret, text = b"s" * 20, tokens.new_token(merchant_id, "test", "kft")
    sealed = sealing.seal(keys.totp, secret, merchant_id, owner.user_id, "totp")
    version = "select version from user_account where merchant_id = $1 and user_id = $2"
    async with database.tenant(pool, merchant_id) as connection:
        if name == "confirm_totp":
            await connection.fetchval(SQL["sessions.seal_totp"], merchant_id, owner.user_id, sealed)
        await connection.fetchval(
            SQL["users.ticket"],
            merchant_id,
            tokens.hash_of(text),
            other.user_id,
            "reset",
            3600.0,
            owner.user_id,
        )
        seen = await connection.fetchval(version, merchant_id, other.user_id)
    world.body = {
        "sign_in": {
            "merchant_id": merchant_id, "email": owner.email, "password": people.PASSWORD
        },
        "redeem_ticket": {"token": text, "password": people.PASSWORD},
        "begin_totp": {"password": people.PASSWORD},
        "confirm_totp": {
            "one_time_code": rules.totp(secret).generate(int(time.time())).decode()
        },
        "disable_user": {"version": seen},
        "begin_visit": {"merchant_id": merchant_id},
        "approve": {"digest": digest},
        "reject": {"digest": digest},
    }.get(name, {})  # fmt: skip


def named(value: Any, world: World) -> Any:
    """An example with real ids, the real card number and a request number of its own."""
    if isinstance(value, dict):
        changed = {name: named(item, world) for name, item in value.items()}
        if "request_no" in changed:
            changed["request_no"] = f"GEN-{next(_numbers)}"
        return changed
    if isinstance(value, list):
        return [named(item, world) for item in value]
    if value == EXAMPLE_NUMBER:
        return world.number
    found = EXAMPLE_ID.fullmatch(value) if isinstance(value, str) else None
    return world.ids[found[1]] if found else value


def mix(case: Case[Any], world: World, kept: set[str], *, plain: bool) -> None:
    """Let a case name what exists: all of it from the example when `plain`, else in part."""
    route = ROUTES[case.operation.definition.raw["operationId"]]
    for name in case.path_parameters or {}:
        prefix = contract.ID_PREFIXES.get(name)
        case.path_parameters[name] = world.ids[prefix] if prefix else route.example_path[name]
    if isinstance(case.body, dict) and route.example_body is not None:
        example = named(route.example_body, world)
        if "store_id" in OPERATIONS_WITH_STORE.get(route.operation_id, ()):
            example["store_id"] = world.ids["sto"]
        part = {name: value for name, value in example.items() if plain or name in kept}
        case.body = {**part, **world.body} if plain else {**case.body, **part}
    if plain:
        if route.idempotent:
            case.headers["Idempotency-Key"] = f"generated-{next(_numbers)}"
        if route.operation_id in BY_STORE:
            case.query = {**BY_STORE[route.operation_id], "store_id": world.ids["sto"]}
        elif route.query is not None:
            case.query = {}


OPERATIONS_WITH_STORE = {
    name: DOCUMENT["components"]["schemas"][route.body.__name__]["properties"]
    for name, route in ROUTES.items()
    if route.body is not None
}


def requests_of(name: str) -> st.SearchStrategy[tuple[Case[Any], bool, bool, set[str]]]:
    """Cases of an operation that fit its schema and such that don't, and how to mix them."""
    operation = SCHEMA.find_operation_by_id(name)
    fields = sorted(ROUTES[name].example_body or {}) or ["none"]
    good = operation.as_strategy(GenerationMode.POSITIVE)
    flags = (st.booleans(), st.booleans(), st.sets(st.sampled_from(fields)))
    positive = st.tuples(good, *flags)
    varied = operation.body or operation.query or operation.path_parameters
    if not varied or not (ROUTES[name].scope or operation.body):
        return positive
    bad = operation.as_strategy(GenerationMode.NEGATIVE)
    return st.one_of(positive, positive, st.tuples(bad, st.just(False), *flags[1:]))


def told(response: schemathesis.Response) -> Response:
    """The answer as our own client tells it."""
    headers = {header: ", ".join(values) for header, values in response.headers.items()}
    return Response(response.status_code, headers, response.content)


def told_as_it_is(world: World, name: str, line: requests.Session) -> int:
    """How the example is answered with what it can't know filled in."""
    route = ROUTES[name]
    ids = {name: world.ids[prefix] for name, prefix in contract.ID_PREFIXES.items()}
    return line.request(
        route.method,
        world.base_url + route.path.format(**ids),
        json={**named(route.example_body, world), **world.body},
        headers={"Authorization": f"Bearer {world.token}"},
        timeout=30,
    ).status_code


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_undeclared_comes_back(world: World, client_of: ClientOf, name: str) -> None:
    own = await fresh(world, client_of, name)
    seen: Counter[int] = Counter()
    line = requests.Session()

    @settings(
        max_examples=EXAMPLES_PER_OPERATION, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(drawn=requests_of(name))
    def run(drawn: tuple[Case[Any], bool, bool, set[str]]) -> None:
        case, mixed, plain, kept = drawn
        if mixed:
            mix(case, own, kept, plain=plain)
        headers = {"Authorization": f"Bearer {own.token}"}
        response = case.call(base_url=own.base_url, session=line, headers=headers, timeout=30)
        sent = parse_qs(urlsplit(str(response.request.url)).query, keep_blank_values=True)
        whole = sent.keys() >= (case.query or {}).keys()
        held = [check for check in CHECKS if whole or check is not OF_THE_SENT]
        case.validate_response(response, checks=held)
        found = contract.faults(ROUTES[name], told(response))
        assert not found, found
        seen[response.status_code] += 1

    if own.body:  # generated passwords use up the tries
        seen[told_as_it_is(own, name, line)] += 1
    run()
    line.close()
    assert any(200 <= status < 300 for status in seen), f"{name} never succeeded: {seen}"
    assert seen.total() >= (EXAMPLES_PER_OPERATION if ROUTES[name].scope else 1), seen


@pytest.mark.parametrize(
    ("status", "media_type", "body"),
    [
        (418, "application/problem+json", b"{}"),
        (200, "text/plain", b'{"status":"ok"}'),
        (200, "application/json", b'{"status":"well"}'),
        (500, "application/problem+json", b"not a problem"),
    ],
)
def test_an_undeclared_answer_is_caught(status: int, media_type: str, body: bytes) -> None:
    case = SCHEMA.find_operation_by_id("live").Case()
    answer = requests.Response()
    answer.status_code = status
    answer._content = body
    answer.headers.update({"Content-Type": media_type, "X-Request-Id": "req_1"})
    answer.request = requests.Request("GET", "http://127.0.0.1/health/live").prepare()
    with pytest.raises(FailureGroup):
        case.validate_response(answer, checks=CHECKS)
