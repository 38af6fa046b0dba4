"""Every named query on the migrated database plans, as the role that runs it, and fits."""

import ast
import importlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec import Struct, structs

from schemas.reports import OPERATION_COLUMNS
from service.kernel import embedded
from service.kernel.migrations import migrate
from service.kernel.sql import SQL
from service.ledger.state import Card
from service.records import store as records

ROOT = Path(__file__).parents[2]
# Whoever owns the database runs these; everything else is the application's.
OWNERS = ("embedded.", "invariants.", "migrations.", "schema_dump.", "merchants.list_ids")
# The embedded server's superuser runs these.
SUPERUSERS = ("backup.",)
# Statements that can't be planned: they are prepared only.
PLANNED = ("select", "insert", "update", "delete", "with")
# Read by position, or by a name that is not written at the call: query -> what its columns are.
CARD = [field.name for field in structs.fields(Card) if field.name != "lots"]
BY_HAND = {
    "cards.by_id": CARD,
    "cards.by_number": CARD,
    "redemptions.by_id": "redemptions.by_request_no",
    "redemptions.refused_by_id": "redemptions.by_request_no",
    "reports.operations": list(OPERATION_COLUMNS),
    "records.movements": [field.name for field in structs.fields(records._Movement)],
    "records.refusals": [field.name for field in structs.fields(records._Refusal)],
}


@pytest.fixture(name="migrated", scope="module")
async def _migrated() -> AsyncIterator[embedded.Server]:
    with embedded.temporary() as server:
        await migrate(server.owner_dsn)
        yield server


@pytest.fixture(name="app", scope="module")
async def _app(migrated: embedded.Server) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated.app_dsn)
    yield connection
    await connection.close()


@pytest.fixture(name="owner", scope="module")
async def _owner(migrated: embedded.Server) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated.owner_dsn)
    yield connection
    await connection.close()


@pytest.fixture(name="admin", scope="module")
async def _admin(migrated: embedded.Server) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated.admin_dsn)
    yield connection
    await connection.close()


async def plan(connection: asyncpg.Connection, query: str) -> None:
    """Plan a query with NULLs; the server checks the role's permissions on everything it names."""
    parameters = (await connection.prepare(query)).get_parameters()
    statement = re.sub(r"--[^\n]*\n", "", query).lower()
    if not statement.strip().startswith(PLANNED):
        return
    await connection.execute(f"prepare planned as {query}")
    nulls = f"({', '.join(['null'] * len(parameters))})" if parameters else ""
    try:
        await connection.execute(f"explain execute planned{nulls}")
    finally:
        await connection.execute("deallocate planned")


def annotated_calls() -> Iterator[tuple[str, type[Struct]]]:
    """(query, Struct) of each `database.one` and `database.many` whose query is written there."""
    for path in sorted((ROOT / "service").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "database.one",
                "database.many",
            ):
                name, wanted = node.args[1], node.args[2]
                if isinstance(name, ast.Constant):
                    assert isinstance(wanted, ast.Name), path
                    module = importlib.import_module(
                        ".".join(path.relative_to(ROOT).with_suffix("").parts)
                    )
                    yield str(name.value), getattr(module, wanted.id)
                else:
                    assert path.parts[-2:] == ("redemptions", "store.py"), path


CALLS = sorted(set(annotated_calls()), key=lambda call: call[0])


@pytest.mark.parametrize("name", sorted(SQL))
async def test_every_query_plans_as_its_role(
    app: asyncpg.Connection, owner: asyncpg.Connection, admin: asyncpg.Connection, name: str
) -> None:
    privileged = admin if name.startswith(SUPERUSERS) else owner
    await plan(privileged if name.startswith(OWNERS + SUPERUSERS) else app, SQL[name])


async def test_a_query_the_application_may_not_run_is_seen(app: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await plan(app, "delete from posting where merchant_id = $1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await plan(app, SQL["migrations.record"])


async def columns(connection: asyncpg.Connection, query: str) -> list[str]:
    """The names of a query's columns."""
    return [column.name for column in (await connection.prepare(SQL[query])).get_attributes()]


@pytest.mark.parametrize(("name", "wanted"), CALLS, ids=[f"{n}-{w.__name__}" for n, w in CALLS])
async def test_columns_are_the_fields(app: asyncpg.Connection, name: str, wanted: Any) -> None:
    fields = [field.encode_name for field in structs.fields(wanted)]
    assert sorted(await columns(app, name)) == sorted(fields)


@pytest.mark.parametrize("name", sorted(BY_HAND))
async def test_columns_read_by_position(app: asyncpg.Connection, name: str) -> None:
    like = BY_HAND[name]
    wanted = await columns(app, like) if isinstance(like, str) else like
    assert await columns(app, name) == wanted


def test_the_calls_were_found() -> None:
    assert len(CALLS) >= 8
    assert ("cards.statement", "StatementLine") in {(name, kind.__name__) for name, kind in CALLS}
