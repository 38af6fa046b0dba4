"""What is checked before an operation runs, in what order, and what its answer carries."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from msgspec.structs import replace

from service.kernel.auth import Credential
from service.kernel.http import handler, open_handler
from tests.kernel.cups import (
    CUP_ID,
    FILL,
    READER_KEY,
    TILL_KEY,
    UNKNOWN_KEY,
    alive,
    broken,
    cup_client,
    post,
    problem,
    route,
)


@pytest.fixture(name="client", scope="module", params=["framework", "short cut"])
async def _client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """Each test twice: the short cut must answer as the framework's own routing does."""
    async with cup_client(short_cut=request.param == "short cut") as client:
        yield client


async def test_a_good_request(client: httpx.AsyncClient) -> None:
    response = await post(client)
    assert response.status_code == 201
    assert response.json() == {"id": CUP_ID, "size": 5, "key": "key-00000001"}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"].startswith("req_")
    assert "idempotent-replayed" not in response.headers


async def test_a_replay_says_so(client: httpx.AsyncClient) -> None:
    response = await post(client, b'{"size": 5, "note": "again"}')
    assert response.headers["idempotent-replayed"] == "true"


async def test_requests_at_once_have_their_own_ids(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *[client.get("/v1/cups", params={"limit": n}) for n in range(1, 21)]
    )
    assert [answer.json()["limit"] for answer in answers] == list(range(1, 21))
    ids = {answer.json()["at"] for answer in answers}
    assert len(ids) == 20
    assert ids == {answer.headers["x-request-id"] for answer in answers}


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x", f"Basic {TILL_KEY}", f"Bearer {UNKNOWN_KEY}", f"Bearer {TILL_KEY}x",
     f"Bearer {TILL_KEY[:-1]}", f"Bearer  {TILL_KEY}"],
    ids=["nothing", "no token", "no key", "Basic", "unknown", "longer", "shorter", "two blanks"],
)  # fmt: skip
async def test_no_valid_credential(client: httpx.AsyncClient, authorization: str) -> None:
    response = await client.get("/v1/cups", headers={"Authorization": authorization})
    assert problem(response).code == "unauthenticated"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_two_credentials_are_none(client: httpx.AsyncClient) -> None:
    headers = [("authorization", f"Bearer {TILL_KEY}"), ("authorization", f"Bearer {READER_KEY}")]
    assert problem(await client.get("/v1/cups", headers=headers)).code == "unauthenticated"


async def test_the_scheme_has_no_case(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/cups", headers={"Authorization": f"bEARER {READER_KEY}"})
    assert response.status_code == 200


async def test_a_missing_scope_is_named(client: httpx.AsyncClient) -> None:
    got = problem(await post(client, authorization=f"Bearer {READER_KEY}"))
    assert (got.status, got.code) == (403, "forbidden")
    assert [(reason.code, reason.allowed) for reason in got.reasons] == [
        ("scope_missing", ["cards:write"])
    ]


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)
async def test_a_wrong_media_type(client: httpx.AsyncClient, media_type: str) -> None:
    assert problem(await post(client, content_type=media_type)).code == "unsupported_media_type"


@pytest.mark.parametrize(
    "media_type",
    ["Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"'],
)
async def test_a_right_media_type(client: httpx.AsyncClient, media_type: str) -> None:
    assert (await post(client, content_type=media_type)).status_code == 201


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "idempotency_key_required"),
        ("short", "idempotency_key_invalid"),
        ("k" * 129, "idempotency_key_invalid"),
        ("key-0000\x7f", "idempotency_key_invalid"),
        ("key-0000\t1", "idempotency_key_invalid"),
    ],
)
async def test_a_bad_idempotency_key(client: httpx.AsyncClient, key: str, code: str) -> None:
    assert problem(await post(client, idempotency_key=key)).code == code


async def test_an_idempotency_key_beyond_ascii(client: httpx.AsyncClient) -> None:
    headers = {
        b"content-type": b"application/json",
        b"idempotency-key": "schlüssel".encode("latin-1"),
    }
    response = await client.post(FILL, content=b'{"size": 5}', headers=headers)
    assert problem(response).code == "idempotency_key_invalid"


@pytest.mark.parametrize("key", ["k" * 8, "k" * 128, "with blank #1"])
async def test_a_good_idempotency_key(client: httpx.AsyncClient, key: str) -> None:
    assert (await post(client, idempotency_key=key)).json()["key"] == key


@pytest.mark.parametrize("second", ["key-00000001", "key-00000002"])
async def test_two_idempotency_keys(client: httpx.AsyncClient, second: str) -> None:
    headers = [("content-type", "application/json"), ("idempotency-key", "key-00000001")]
    response = await client.post(
        FILL, content=b"{}", headers=[*headers, ("idempotency-key", second)]
    )
    assert problem(response).code == "idempotency_key_invalid"


async def test_the_problems_of_a_body_come_at_once(client: httpx.AsyncClient) -> None:
    got = problem(await post(client, b'{"size": "5", "colour": "red", "note": 1}'))
    assert got.code == "invalid_request"
    assert sorted(reason.path or "" for reason in got.reasons) == ["$.colour", "$.note", "$.size"]


async def test_a_body_that_is_no_json(client: httpx.AsyncClient) -> None:
    assert problem(await post(client, b"{")).code == "malformed_json"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1/cups?limit=0", "$query.limit"),
        ("/v1/cups?page=2", "$query.page"),
        ("/v1/cups/broken?x=1", "$query"),
    ],
)
async def test_a_bad_query(client: httpx.AsyncClient, path: str, place: str) -> None:
    got = problem(await client.get(path))
    assert (got.code, [reason.path for reason in got.reasons]) == ("invalid_request", [place])


async def test_an_open_route_needs_no_credential(client: httpx.AsyncClient) -> None:
    response = await client.get("/live", headers={"Authorization": ""})
    assert (response.status_code, response.text) == (200, "kafang_up 1\n")
    assert response.headers["content-type"] == "text/plain"


async def test_an_answer_has_headers_of_its_own(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/cups", params={"limit": 3})
    assert response.headers["next-cursor"] == "cup-3"
    assert "next-cursor" not in (await client.get("/v1/cups")).headers


def test_a_route_is_not_open_by_mistake() -> None:
    with pytest.raises(ValueError, match="is no permission"):
        handler(route("GET", "/x", "x", scope=""), broken)
    with pytest.raises(ValueError, match="use handler"):
        open_handler(route("GET", "/x", "x"), alive)
    with pytest.raises(ValueError, match="members only read"):
        handler(route("POST", "/x", "x", for_members=True), broken)


def test_a_member_acts_for_no_store() -> None:
    key = Credential("mer_1", "key_1", b"", frozenset(), None, None, 1)
    assert key.acts_for("cards:read", "sto_1")
    assert not replace(key, member_id="mbr_1").acts_for("cards:read", "sto_1")
    assert not replace(key, member_id="mbr_1").acts_for("cards:read", None)
