"""Bad requests, made from the declared routes: each gets its declared problem and leaves no row.

THREAT-T17.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.kernel import problems
from service.kernel.embedded import Server
from service.kernel.http import BODY_MAX_BYTES
from service.kernel.routes import Route
from tests.api import bad, shop
from tests.api.conftest import ROUTES, anyone_of
from tests.conftest import ClientOf, require_whole
from tests.harness import people
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server as Service
from tests.harness.tenant import Tenant

SECURED = [route for route in ROUTES if route.scope]
WITH_BODY = [route for route in ROUTES if route.body is not None]
WITH_QUERY = [route for route in ROUTES if route.query is not None]
# The most lines of a list, by a parameter that tells which list it is; 200 of any other.
LIMITS = [("closing_at", 50_000), ("format", 10_000), ("after", 1_000)]
NO_IDS = ("", "x", bad.CARD + "0", "sto_" + "Z" * 26, f"{bad.STORE}%0a")
JSON = {"Content-Type": "application/json"}
# Required, and null is headquarters.
_MOVE = (("parent_id",), ("from_parent_id",))
# Required, and null is no limit.
NULLABLE = {
    "move_store": _MOVE,
    "move_area": _MOVE,
    "change_member_name": [("full_name",)],
    "change_policy": [("rules", "redemption_max", "value"), ("rules", "top_up_max", "value")],
}


@pytest.fixture(scope="module")
async def tenant(postgres: Server, client_of: ClientOf) -> AsyncIterator[Tenant]:
    """One merchant for the file: nothing here leaves a trace, which is the point."""
    made = await tenants.make(postgres.app_dsn, client_of, stores_count=2)
    yield made
    await require_whole(postgres, made.merchant_id)


@pytest.fixture(scope="module")
async def office(tenant: Tenant, server: Service) -> AsyncIterator[Client]:
    """Whoever a route is for: the merchant's own key, or its owner."""
    async with await anyone_of(server, tenant) as client:
        yield client


def each(routes: list[Route]) -> pytest.MarkDecorator:
    """Once for each of these routes."""
    return pytest.mark.parametrize("route", routes, ids=[route.operation_id for route in routes])


async def send(
    client: Client, route: Route, body: Any = None, headers: dict[str, str] | None = None,
    query: str = "",
) -> Response:  # fmt: skip
    """A request of a route, good but for what is given."""
    path = bad.filled(route.path) + query
    if route.body is None:
        return await client.request(route.method, path, b"", headers or {})
    whole = bad.FULL[route.operation_id] if body is None else body
    raw = whole if isinstance(whole, bytes) else bad.document(whole)
    key = {"Idempotency-Key": shop.new_key()} if route.idempotent else {}
    return await client.request(route.method, path, raw, {**JSON, **key, **(headers or {})})


def refused(response: Response, code: problems.Code) -> set[str | None]:
    """The paths of the reasons, after the rest of the problem was found right."""
    problem = response.json()
    assert (response.status, problem["code"]) == (code.status, code.code), response.body
    assert (problem["outcome"], problem["retry"]) == ("not_applied", code.retry)
    assert problem["request_id"] == response.headers["x-request-id"]
    return {reason.get("path") for reason in problem["reasons"]}


@each(WITH_BODY)
def test_the_full_body_has_every_declared_field(route: Route) -> None:
    named = {
        tuple(step for step in place if isinstance(step, str))
        for place, _ in bad.places(bad.FULL[route.operation_id])
    }
    assert named - {()} == {place for place, _ in bad.declared(route.body)}


@each(WITH_BODY)
async def test_every_field_spoiled(
    office: Client, tenant: Tenant, postgres: Server, route: Route
) -> None:
    full = bad.FULL[route.operation_id]
    before = await shop.rows(postgres, tenant.merchant_id)
    for place, value in bad.places(full):
        for wrong in bad.spoiled(value):
            answer = await send(office, route, bad.put(full, place, wrong))
            paths = refused(answer, problems.INVALID_REQUEST)
            wanted = bad.path_of(place)
            assert paths, (place, wrong)
            assert all(path and path.startswith(wanted) for path in paths), (place, wrong, paths)
    assert await shop.rows(postgres, tenant.merchant_id) == before


@each(WITH_BODY)
async def test_every_required_field_missing_or_null(office: Client, route: Route) -> None:
    full = bad.FULL[route.operation_id]
    required = {place for place, needed in bad.declared(route.body) if needed}
    for place, _ in bad.places(full):
        if tuple(step for step in place if isinstance(step, str)) in required:
            if not isinstance(place[-1], int):
                answer = await send(office, route, bad.without(full, place))
                assert refused(answer, problems.INVALID_REQUEST) == {bad.path_of(place)}
                assert shop.reasons(answer) == ["missing_field"]
            if place in NULLABLE.get(route.operation_id, ()):
                continue
            answer = await send(office, route, bad.put(full, place, None))
            assert refused(answer, problems.INVALID_REQUEST) == {bad.path_of(place)}


@each(WITH_BODY)
async def test_an_unknown_field_at_every_level(office: Client, route: Route) -> None:
    full = bad.FULL[route.operation_id]
    objects = [(), *(place for place, value in bad.places(full) if isinstance(value, dict))]
    for place in objects:
        answer = await send(office, route, bad.put(full, (*place, "colour"), "red"))
        assert refused(answer, problems.INVALID_REQUEST) == {bad.path_of((*place, "colour"))}
        [reason] = answer.json()["reasons"]
        assert reason["code"] == "unknown_field"
        assert "colour" not in reason["allowed"]


@each(WITH_BODY)
async def test_all_problems_come_at_once(office: Client, route: Route) -> None:
    full = bad.FULL[route.operation_id]
    top = {name: {"no": 1} if not isinstance(value, dict) else 5 for name, value in full.items()}
    answer = await send(office, route, {**top, "colour": "red"})
    paths = refused(answer, problems.INVALID_REQUEST)
    assert {f"$.{name}" for name in full} | {"$.colour"} <= paths


@each(WITH_BODY)
@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"5", b"null", b"true", b"[{}]"])
async def test_a_body_that_is_no_object(office: Client, route: Route, raw: bytes) -> None:
    assert refused(await send(office, route, raw), problems.INVALID_REQUEST) == {"$"}


MALFORMED = [
    b"", b" ", b"{", b"}", b'{"a":1,}', b"{'a':1}", b"\xff", b"\xef\xbb\xbf{}", b"{}{}", b"nul",
    b'{"a":NaN}', b'{"a":Infinity}', b'{"a":01}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}',
    b'{"a":"\x01"}', b"[" * 100_000, b'{"a":' * 50_000, b"\x00",
]  # fmt: skip


@each(WITH_BODY)
async def test_a_body_that_is_no_json(
    office: Client, tenant: Tenant, postgres: Server, route: Route
) -> None:
    before = await shop.rows(postgres, tenant.merchant_id)
    for raw in MALFORMED:
        answer = await send(office, route, raw)
        assert answer.status == 400, raw[:40]
        assert answer.json()["code"] in ("malformed_json", "invalid_request"), raw[:40]
        assert raw[:1] != b"{" or len(raw) > 3 or answer.json()["code"] == "malformed_json"
    assert await shop.rows(postgres, tenant.merchant_id) == before


@each(WITH_BODY)
async def test_a_body_too_large(
    tenant: Tenant, server: Service, postgres: Server, route: Route
) -> None:
    before = await shop.rows(postgres, tenant.merchant_id)
    async with await anyone_of(server, tenant) as client:
        answer = await send(client, route, b'{"note":"' + b"x" * BODY_MAX_BYTES + b'"}')
    refused(answer, problems.PAYLOAD_TOO_LARGE)
    assert await shop.rows(postgres, tenant.merchant_id) == before


async def test_ten_megabytes_are_refused_before_they_are_sent(
    tenant: Tenant, client_of: ClientOf
) -> None:
    async with client_of(tenant.merchant_key) as client:
        whole = client.encode("POST", "/v1/cards/lookup", b"x" * 10 * 2**20, JSON)
        await client.send_bytes(whole[:4_096])
        refused(await client.receive(), problems.PAYLOAD_TOO_LARGE)


async def test_a_body_of_the_largest_size_is_read(office: Client) -> None:
    raw = b'{"idempotency_key":"' + b"x" * (BODY_MAX_BYTES - 22) + b'"}'
    assert len(raw) == BODY_MAX_BYTES
    answer = await office.post("/v1/reversals", raw, shop.new_key())
    assert refused(answer, problems.INVALID_REQUEST) == {"$.idempotency_key"}


async def test_a_large_body_in_chunks(tenant: Tenant, client_of: ClientOf) -> None:
    head = (
        "POST /v1/cards/lookup HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {tenant.merchant_key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    async with client_of() as client:
        await client.send_bytes(head.encode() + chunk * 17)
        refused(await client.receive(), problems.PAYLOAD_TOO_LARGE)


@each(WITH_BODY)
@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1",
     "application/json, text/plain", "multipart/form-data", "", "application/jsonx"],
)  # fmt: skip
async def test_another_media_type(office: Client, route: Route, media_type: str) -> None:
    answer = await send(office, route, None, {"Content-Type": media_type})
    refused(answer, problems.UNSUPPORTED_MEDIA_TYPE)


@each(WITH_BODY)
async def test_the_media_type_in_other_words(office: Client, route: Route) -> None:
    for media_type in ("APPLICATION/JSON", 'application/json; charset="UTF-8"'):
        answer = await send(office, route, b"{", {"Content-Type": media_type})
        refused(answer, problems.MALFORMED_JSON)


@each([route for route in ROUTES if route.idempotent])
async def test_the_key_is_checked_before_the_body(office: Client, route: Route) -> None:
    path = route.path.replace("{card_id}", bad.CARD).replace("{redemption_id}", "rdm_" + "0" * 26)
    answer = await office.request(route.method, path, b"{", JSON)
    refused(answer, problems.KEY_REQUIRED)
    for key in ("short", "x" * 129, "caf\xe9-0001", ""):
        answer = await office.request(route.method, path, b"{", {**JSON, "Idempotency-Key": key})
        refused(answer, problems.KEY_INVALID)


def tokens(tenant: Tenant) -> dict[str, str]:
    """Authorization headers that prove nothing."""
    good = tenant.merchant_key
    return {
        "none": "",
        "no token": "Bearer",
        "another scheme": f"Basic {good}",
        "a wrong last character": f"Bearer {good[:-1]}{'0' if good[-1] != '0' else '1'}",
        "cut short": f"Bearer {good[:-1]}",
        "of another tenant": "Bearer " + good.replace(good[9:35], "0" * 26),
        "live for test": f"Bearer {good.replace('kfk_test_', 'kfk_live_')}",
        "a NUL": f"Bearer {good}%00",
        "long": "Bearer " + "x" * 5_000,
    }


@each(SECURED)
async def test_no_valid_credential(
    tenant: Tenant, client_of: ClientOf, postgres: Server, route: Route
) -> None:
    before = await shop.rows(postgres, tenant.merchant_id)
    bodies = set()
    async with client_of() as client:
        for what, header in tokens(tenant).items():
            headers = {"Authorization": header} if header else {}
            answer = await send(client, route, None, headers)
            refused(answer, problems.UNAUTHENTICATED)
            assert answer.headers["www-authenticate"] == "Bearer", what
            bodies.add(shop.without_request_id(answer))
    assert len(bodies) == 1
    assert await shop.rows(postgres, tenant.merchant_id) == before


async def test_a_key_without_the_scope(
    other: Tenant, client_of: ClientOf, postgres: Server
) -> None:
    statement = "update api_key set scopes = '{}' where merchant_id = $1 and store_id = $2"
    store_id = other.store_ids[0]
    await shop.change(postgres, other.merchant_id, statement, other.merchant_id, store_id)
    async with client_of(other.pos_keys[0]) as client:
        for route in SECURED:
            answer = await send(client, route)
            refused(answer, problems.FORBIDDEN)
            [reason] = answer.json()["reasons"]
            if people.is_for_people(route):
                assert reason["code"] == "people_only"
            else:
                assert (reason["code"], reason["allowed"]) == ("scope_missing", [route.scope])


async def test_a_revoked_key_works_nowhere(
    other: Tenant, client_of: ClientOf, postgres: Server
) -> None:
    async with client_of(other.merchant_key) as office, client_of(other.pos_keys[0]) as pos:
        card = await shop.funded(office, other, 1_000)
        sale = await shop.sold(pos, card, 100)
        statement = "update api_key set status = 'revoked' where merchant_id = $1 and store_id = $2"
        store_id = other.store_ids[0]
        await shop.change(postgres, other.merchant_id, statement, other.merchant_id, store_id)
        for answer in (
            await shop.redeem(pos, card, 100),
            await shop.top_up(pos, card, 100),
            await pos.post(f"/v1/redemptions/{sale}/refunds", {}, shop.new_key()),
            await pos.post(f"/v1/redemptions/{sale}/void", {}, shop.new_key()),
            await pos.post("/v1/reversals", {"idempotency_key": "never-seen"}, shop.new_key()),
            await pos.post("/v1/cards", {"template_id": other.template_id}, shop.new_key()),
            await pos.post("/v1/cards/lookup", {"card_number": card.number}),
            await pos.get(f"/v1/cards/{card.card_id}"),
            await pos.get(f"/v1/cards/{card.card_id}/statement"),
            await pos.get(f"/v1/redemptions/{sale}"),
            await pos.get("/v1/redemptions?request_no=A-1"),
        ):
            refused(answer, problems.UNAUTHENTICATED)
        assert await shop.balances(office, card) == (900, 0)


@each(WITH_QUERY)
async def test_a_bad_query(office: Client, route: Route) -> None:
    answer = await send(office, route, query="?colour=red")
    assert "$query.colour" in refused(answer, problems.INVALID_REQUEST)
    fields = {place[-1] for place, _ in bad.declared(route.query)}
    instants = [
        "", "x", "0", "%00", "2026-01-01", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+08:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00",
    ]  # fmt: skip
    wrong: dict[str | int, list[str]] = {
        "limit": [
            "0",
            "-1",
            next((str(most + 1) for name, most in LIMITS if name in fields), "201"),
            "1.0",
            "1e1",
            "x",
            "",
            "9" * 30,
            "%31%00",
            "%EF%BC%91",
        ],
        "cursor": ["x", "%00", "a" * 600, "", "%ff", "bnVsbA", "LTE", "W10", "e30"],
        "request_no": ["", "a" * 65, "a%20b", "%00", "%E5%8F%B7", "a%0a"],
        "after": ["-1", "1.0", "1e1", "x", "", "9" * 30, str(2**53), "%00"],
        "status": ["", "x", "Open", "%00"],
        "action": ["", "x", "Store.created", "%00"],
        **{field: list(NO_IDS) for field in ("store_id", "card_id", "object_id", "actor_id")},
        "terminal_id": ["", "a" * 65, "%00"],
        "by": ["", "x", "Store", "%00"],
        "format": ["", "x", "PDF", "text/html", "%00"],
        "language": ["", "zh", "EN", "zh_CN", "%00"],
        **dict.fromkeys(("as_of", "opening_at", "closing_at"), instants),
    }
    for field in fields:
        for text in wrong[field]:
            answer = await send(office, route, query=f"?{field}={text}")
            assert f"$query.{field}" in refused(answer, problems.INVALID_REQUEST), (field, text)
        answer = await send(office, route, query=f"?{field}=1&{field}=1")
        assert f"$query.{field}" in refused(answer, problems.INVALID_REQUEST)


@each([route for route in SECURED if route.query is None])
async def test_a_query_where_none_is_taken(office: Client, route: Route) -> None:
    answer = await send(office, route, query="?limit=1")
    assert refused(answer, problems.INVALID_REQUEST) == {"$query"}


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_a_method_the_path_has_not(client_of: ClientOf, path: str) -> None:
    declared = {route.method for route in ROUTES if route.path == path}
    named = path.replace("{card_id}", bad.CARD).replace("{template_id}", bad.TEMPLATE)
    named = named.replace("{redemption_id}", "rdm_" + "0" * 26)
    async with client_of() as client:
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - declared:
            answer = await client.request(method, named)
            refused(answer, problems.METHOD_NOT_ALLOWED)
            allowed = set(answer.headers["allow"].split(", "))
            assert declared <= allowed
            assert method not in allowed


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v2/cards", "/v1/nothing", "/v1/cards/x/y/z", "/V1/cards",
     "/v1/cards/../cards", "/v1/%63ards/x/y/z", "/favicon.ico", "/%00", "/" + "a" * 4_000],
)  # fmt: skip
async def test_a_path_that_is_none(client_of: ClientOf, path: str) -> None:
    async with client_of() as client:
        refused(await client.get(path), problems.NOT_FOUND)


async def test_nothing_of_a_refused_body_comes_back(office: Client) -> None:
    secret = "4929-secret-of-a-customer"
    body = {"idempotency_key": 5, "reason": [secret], secret: 1}
    answer = await office.post("/v1/reversals", body, shop.new_key())
    assert answer.status == 400
    values = json.loads(answer.body)["reasons"]
    assert all(secret not in reason["message"] for reason in values)
