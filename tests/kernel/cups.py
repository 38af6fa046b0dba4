"""A small application of invented routes, to see what the kernel makes of requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import httpx
import msgspec
from litestar import Litestar
from litestar.datastructures import State
from msgspec import Meta, Struct

from schemas.problems import Problem
from service.kernel import problems, routes, tokens
from service.kernel.auth import Credential
from service.kernel.errors import exception_handlers
from service.kernel.gate import Gate, gated
from service.kernel.http import handler, open_handler
from service.kernel.ids import new_id
from service.kernel.problems import ProblemError
from service.kernel.routes import Answer, Call, Route
from service.kernel.shortcut import directly

MERCHANT = new_id("mer")
TILL_KEY = tokens.new_token(MERCHANT, "test")
READER_KEY = tokens.new_token(MERCHANT, "test")
UNKNOWN_KEY = tokens.new_token(MERCHANT, "test")
SCOPES = {TILL_KEY: {"cards:read", "cards:write"}, READER_KEY: {"cards:read"}}
CUP_ID = new_id("cup")
FILL = f"/v1/cups/{CUP_ID}/fill"


class Fill(Struct, forbid_unknown_fields=True):
    size: Annotated[int, Meta(ge=1, le=500)]
    note: str = ""


class Filter(Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


def route(method: Any, path: str, name: str, **more: Any) -> Route:
    declared = {"scope": "cards:read", "answers": {200: None}, "errors": ()} | more
    return Route(
        method, path, name, summary=name, description=name, tag="Cups", **declared
    )  # fmt: skip


async def fill(call: Call, body: Fill) -> Answer:
    routes.object_id(call, "cup_id", "cup")
    if body.note == "lost":
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")
    if body.note == "fault":
        raise RuntimeError("canary: the tap broke")
    if body.note == "endless":
        await asyncio.Event().wait()
    if body.note == "full":
        raise ProblemError(problems.UNAVAILABLE)
    answer = {"id": call.path["cup_id"], "size": body.size, "key": call.idempotency_key}
    return Answer(201, json.dumps(answer).encode(), replayed=body.note == "again")


async def listing(call: Call, body: None) -> Answer:
    assert body is None
    shown = json.dumps({"limit": call.query.limit, "at": call.request_id}).encode()
    return Answer(200, shown, headers={"Next-Cursor": "cup-3"} if call.query.limit == 3 else {})


async def broken(_call: Call, _body: None) -> Answer:
    raise RuntimeError("canary: the shelf broke")


async def endless(_call: Call, _body: None) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def slow(_call: Call, _body: None) -> Answer:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, done.set)
    await done.wait()
    return Answer(200, b"{}")


async def sought(_call: Call, _body: Fill) -> Answer:
    raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")


async def alive(state: Any) -> Answer:
    assert state.authenticate
    return Answer(200, b"kafang_up 1\n", media_type="text/plain")


async def authenticate(text: str) -> Credential | None:
    scopes = SCOPES.get(text)
    if scopes is None:
        return None
    return Credential(MERCHANT, "key_1", b"", frozenset(scopes), None, None, 1)


FILLING = route(
    "POST", "/v1/cups/{cup_id}/fill", "fill_cup", scope="cards:write", body=Fill, idempotent=True
)
HANDLERS = [
    handler(FILLING, fill),
    handler(route("GET", "/v1/cups", "list_cups", query=Filter), listing),
    handler(route("GET", "/v1/cups/broken", "broken"), broken),
    handler(route("GET", "/v1/cups/endless", "endless"), endless),
    handler(route("POST", "/v1/cups/endless", "do_endless"), endless),
    handler(route("GET", "/v1/cups/report", "slow", slow=True), slow),
    handler(route("POST", "/v1/cups/find", "find_cup", body=Fill, safe=True), sought),
    open_handler(route("GET", "/live", "live", scope=""), alive),
]


async def as_it_was(credential: Credential) -> Credential:
    return credential


@asynccontextmanager
async def cup_client(
    short_cut: bool = False, limit_s: float | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, in the same loop, with the till's key."""
    app = Litestar(
        HANDLERS,
        exception_handlers=exception_handlers(),
        state=State({"authenticate": authenticate, "renew": as_it_was, "use": as_it_was}),
        openapi_config=None,
        logging_config=None,
    )
    asgi: Any = directly(app) if short_cut else app
    if limit_s is not None:
        app.state.gate = Gate(4, limit_s / 2, limit_s)
        app.state.recognised = lambda _: None
        asgi = gated(asgi, app, [])
    transport = httpx.ASGITransport(app=asgi, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {TILL_KEY}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://cups", headers=headers
    ) as client:
        yield client


async def post(
    client: httpx.AsyncClient, content: Any = b'{"size": 5}', **headers: str
) -> httpx.Response:
    """A good request but for what is given; an empty header isn't sent."""
    sent = {"content-type": "application/json", "idempotency-key": "key-00000001"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    kept = [(name, value) for name, value in sent.items() if value]
    return await client.post(FILL, content=content, headers=kept)


def problem(response: httpx.Response) -> Problem:
    """The body, which must be a problem that agrees with its headers."""
    assert response.headers["content-type"] == "application/problem+json"
    body = msgspec.json.decode(response.content, type=Problem)
    assert body.status == response.status_code
    assert body.request_id == response.headers["x-request-id"]
    assert body.detail
    assert b"canary" not in response.content
    assert b"Traceback" not in response.content
    return body
