"""Every route × every role × whose it is × its state, over HTTP, against a table kept by hand.

THREAT-T12. What a request would do is refused for another reason once it is allowed (a stale
version, an amount too large), so that every cell meets the state it names.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple, Protocol, cast

import httpx
import pytest
from litestar import Litestar
from msgspec import structs

from service.app import create_app
from service.kernel import database
from service.kernel.embedded import Server as Postgres
from service.kernel.permissions import ROLES, SELF, may_have
from service.settings import Settings
from tests.api import shop
from tests.api.conftest import ROUTES
from tests.authorization import asking, matrix
from tests.authorization import world as worlds
from tests.authorization.world import World
from tests.conftest import ClientOf, require_whole
from tests.harness import people, platform
from tests.harness.client import Response
from tests.harness.server import Server

BY_NAME = {route.operation_id: route for route in ROUTES}
ROWS = matrix.rows()
CELLS_MIN = 10_000


class Line(Protocol):
    """Whatever carries a request."""

    async def request(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Response: ...


class Cell(NamedTuple):
    """One question: may this role do this with that?"""

    route: str
    column: str
    second_factor: bool
    relation: str
    state: str
    expected: str


def cells(name: str) -> Iterator[Cell]:
    """Every cell of a route's row."""
    kind, guarded, letters = ROWS[name]
    relations, states = matrix.KINDS[kind]
    for column, letter in letters.items():
        for strong in (True, False) if column in matrix.SIGNED_IN else (True,):
            given = letter if strong or not guarded else "-"
            for relation in relations if column not in matrix.PLATFORM else _others(relations):
                for state in states if relation != "absent" else states[:1]:
                    wanted = matrix.expected(given, column, kind, relation)
                    yield Cell(name, column, strong, relation, state, wanted)


def _others(relations: tuple[str, ...]) -> tuple[str, ...]:
    """At the platform there is nothing of a merchant's own."""
    left = tuple(name for name in relations if name in ("foreign", "absent"))
    return left or relations


@pytest.fixture(name="world", scope="module")
async def _world(server: Server, postgres: Postgres, client_of: ClientOf) -> AsyncIterator[World]:
    pool = await database.open_pool(postgres.app_dsn, 2)
    keys = people.keys_of(server.data_dir)
    platform_id = await platform.tenant_of(pool)
    made = await worlds.build(postgres.app_dsn, keys, client_of, pool, platform_id)
    yield made
    for merchant in (made.ours, made.theirs):
        merchant.office.drop()
        await require_whole(postgres, merchant.tenant.merchant_id)
    await pool.close()


def test_every_route_is_in_the_table() -> None:
    assert set(ROWS) | matrix.OPEN == set(BY_NAME)
    assert not set(ROWS) & matrix.OPEN
    assert all(route.scope for name, route in BY_NAME.items() if name in ROWS)


def test_there_are_enough_cells() -> None:
    count = sum(1 for name in ROWS for _ in cells(name))
    print(f"{count:,} cells")
    assert count >= CELLS_MIN


@pytest.mark.parametrize("name", ROWS)
async def test_a_route_answers_each_role_as_the_table_says(
    world: World, client_of: ClientOf, name: str
) -> None:
    async with client_of() as line:
        for cell in cells(name):
            answer = await ask(world, line, cell)
            told = str(answer.status) if answer.status in (401, 403, 404) else "ok"
            assert told == cell.expected, (cell, answer.body)


FOREIGN = [name for name, (kind, _, _) in ROWS.items() if "foreign" in matrix.KINDS[kind][0]]


@pytest.mark.parametrize("name", FOREIGN)
async def test_another_merchants_is_answered_like_what_is_not_there(
    world: World, client_of: ClientOf, name: str
) -> None:
    """The same bytes but for the request id, and what the request itself named."""
    async with client_of() as line:
        for cell in cells(name):
            is_own = name == "end_visit" and cell.column in matrix.PLATFORM
            if cell.relation != "foreign" or is_own:
                continue
            foreign = await ask(world, line, cell)
            absent = await ask(world, line, cell._replace(relation="absent"))
            if foreign.status in (403, 404) or ROWS[name][0] != "request":
                assert foreign.status == absent.status, cell
            if foreign.status in (403, 404):
                assert shop.without_request_id(foreign) == shop.without_request_id(absent)
                assert sorted(foreign.headers) == sorted(absent.headers)


async def ask(world: World, line: Line, cell: Cell) -> Response:
    """Send what the cell says."""
    route, kind = BY_NAME[cell.route], ROWS[cell.route][0]
    shown = (world.shown if cell.second_factor else world.weak)[cell.column]
    relation, state = cell.relation, cell.state
    path = asking.path_of(world, route, kind, relation, state)
    if cell.expected == "ok" and cell.route in asking.CHANGES:
        card = await worlds.card_in(world.ours.office, world.ours.tenant, state)
        path = route.path.format(card_id=card.card_id)
    if cell.route in ("sign_out", "end_session") and cell.column not in matrix.KEYS:
        own = await world.one_more(cell.column, second_factor=cell.second_factor)
        shown = own.token
        if relation == "ours":
            path = route.path.format(session_id=own.session_id)
    headers = {"Authorization": f"Bearer {shown}"}
    if route.method == "POST":
        headers |= {"Content-Type": "application/json", "Idempotency-Key": shop.new_key()}
    body = asking.body_of(world, route, kind, relation, state)
    if cell.column in matrix.PLATFORM and cell.route == "invite_user":
        body = body.replace(b"cashier", b"platform_support")  # theirs to give
    return await line.request(route.method, path, body, headers)


def own_app(server: Server, postgres: Postgres) -> Litestar:
    """The application for this process, whose roles can be changed, on the same database."""
    settings = Settings(
        database_url=postgres.app_dsn,
        data_dir=str(server.data_dir),
        kek_file=str(server.data_dir / "keks"),
        secret_key=(server.data_dir / "secret_key").read_text(),
        sequencer=False,
        reader_connections=2,
    )
    return create_app(settings)


class InProcess:
    """A line to an application in this process."""

    def __init__(self, app: Litestar) -> None:
        transport = httpx.ASGITransport(app=cast(Any, app))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://kafang")

    async def __aenter__(self) -> "InProcess":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def request(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Response:
        """Send and wait for the answer."""
        answer = await self.client.request(method, path, content=body, headers=headers)
        return Response(answer.status_code, dict(answer.headers), answer.content)


def asked_of(permission: str, column: str) -> list[Cell]:
    """A cell for each route that a permission is for: with what is one's own."""
    # What it allows it does on top of another: with it others' requests are reversed, too.
    scope = {"reversals:any": "reversals:write"}.get(permission, permission)
    names = [name for name, route in BY_NAME.items() if route.scope == scope]
    found = []
    for name in names:
        own = [cell for cell in cells(name) if cell.column == column and cell.second_factor]
        reach = matrix.REACH.get(column, {"ours", "own"})
        if column in matrix.PLATFORM:
            reach = {"absent"}
        found.append(next(cell for cell in own if cell.relation in reach | {"ours"}))
    return found


def flips(column: str) -> list[str]:
    """What can be given to a role, or taken from it, with an effect of its own."""
    permissions = ROLES[worlds.NAMES[column]].permissions
    on_top = set() if "reversals:write" in permissions else {"reversals:any"}
    return [name for name in may_have("people") if name not in on_top | {SELF}]


# The people of a franchisee have the roles of the others.
@pytest.mark.parametrize(
    "column",
    [
        column
        for column in (*matrix.ROLES, *matrix.VISITORS, *matrix.PLATFORM)
        if column not in ("fsm", "fcs")
    ],
)
async def test_every_single_grant_turns_a_cell_red(
    world: World,
    server: Server,
    postgres: Postgres,
    column: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, role = own_app(server, postgres), worlds.NAMES[column]
    as_it_is = ROLES[role]
    async with app.lifespan(), InProcess(app) as line:
        for permission in flips(column):
            asked = asked_of(permission, column)
            assert asked, permission
            right = await told(world, app, line, asked)
            assert [status for status, _ in right] == [cell.expected for cell in asked], permission
            flipped = as_it_is.permissions ^ {permission}
            monkeypatch.setitem(ROLES, role, structs.replace(as_it_is, permissions=flipped))
            assert await told(world, app, line, asked) != right, permission
            monkeypatch.setitem(ROLES, role, as_it_is)


async def told(
    world: World, app: Litestar, line: Line, asked: list[Cell]
) -> list[tuple[str, list[str]]]:
    """Status and codes of each, with the roles read anew."""
    app.state.terms._tenants.clear()
    found = []
    for cell in asked:
        answer = await ask(world, line, cell)
        status = str(answer.status) if answer.status in (401, 403, 404) else "ok"
        codes = [answer.json()["code"], *shop.reasons(answer)] if status != "ok" else []
        found.append((status, codes))
    return found
