"""Whatever a caller adds to a body is refused: no column and no field can be set by naming it.

THREAT-T16. That answers show nothing undeclared is held in every test of the API (conftest.py).
"""

import inspect
from importlib import import_module
from pkgutil import iter_modules

import asyncpg
import msgspec
import pytest
from msgspec import Struct

import schemas
from service.kernel import problems, validation
from service.kernel.embedded import Server
from service.kernel.problems import ProblemError
from service.kernel.routes import Route
from tests.api import bad, shop
from tests.api.conftest import ROUTES, anyone_of
from tests.harness.client import Client
from tests.harness.server import Server as Service
from tests.harness.tenant import Tenant

COLUMNS = (
    "select distinct column_name from information_schema.columns where table_schema = 'public'"
)
# Fields added to one body at once: an answer names every one of them.
AT_ONCE = 40
WITH_BODY = [route for route in ROUTES if route.body is not None]


def fields() -> set[str]:
    """Every field of every Struct of the wire contract."""
    found = set()
    for module in iter_modules(schemas.__path__):
        for _, kind in inspect.getmembers(import_module(f"schemas.{module.name}"), inspect.isclass):
            if issubclass(kind, Struct):
                found |= {field.encode_name for field in msgspec.structs.fields(kind)}
    return found


@pytest.fixture(scope="module")
async def names(postgres: Server) -> list[str]:
    """Every field and every column there is."""
    connection = await asyncpg.connect(postgres.owner_dsn)
    try:
        columns = {row[0] for row in await connection.fetch(COLUMNS)}
    finally:
        await connection.close()
    assert {"merchant_id", "principal", "status", "epoch"} <= columns
    assert {"card_number", "balances", "refunded"} <= fields()
    return sorted(columns | fields())


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: route.operation_id)
async def test_nothing_undeclared_can_be_set(
    server: Service, tenant: Tenant, postgres: Server, names: list[str], route: Route
) -> None:
    async with await anyone_of(server, tenant) as office:
        await _add_everything(office, tenant, postgres, names, route)


async def _add_everything(
    office: Client, tenant: Tenant, postgres: Server, names: list[str], route: Route
) -> None:
    full = bad.FULL[route.operation_id]
    path = bad.filled(route.path)
    before = await shop.rows(postgres, tenant.merchant_id)
    for place in [(), *(at for at, value in bad.places(full) if isinstance(value, dict))]:
        inside = bad.at(full, place)
        extra = [name for name in names if name not in inside]
        for start in range(0, len(extra), AT_ONCE):
            added = extra[start : start + AT_ONCE]
            body = full
            for name in added:
                body = bad.put(body, (*place, name), 1)
            key = shop.new_key() if route.idempotent else None
            answer = await office.post(path, body, key)
            assert answer.status == 400, answer.body
            refused = {reason["path"] for reason in answer.json()["reasons"]}
            assert refused == {bad.path_of((*place, name)) for name in added}
    assert await shop.rows(postgres, tenant.merchant_id) == before


def test_a_lenient_body_would_take_it() -> None:
    """The negative control: it is the Structs that refuse."""

    class Lenient(Struct):
        reason: str

    class Strict(Struct, forbid_unknown_fields=True):
        reason: str

    sent = b'{"reason": "x", "principal": 1}'
    assert validation.body(sent, Lenient) == Lenient("x")
    with pytest.raises(ProblemError) as refused:
        validation.body(sent, Strict)
    assert refused.value.code is problems.INVALID_REQUEST
