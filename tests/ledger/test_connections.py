"""The lanes' connections grow old without anybody waiting for a new one."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.database import UnsafeDatabaseError
from service.kernel.sql import SQL
from service.ledger import connections
from service.ledger.connections import Connections
from tests.ledger.rules import kit


class Gate:
    """Lets connections through, holds them up, or fails them."""

    def __init__(self, server: embedded.Server) -> None:
        self._dial = functools.partial(connections.connect, server.app_dsn, allow_unsafe=False)
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.tries = 0

    async def __call__(self) -> Any:
        self.tries += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return await self._dial()


@asynccontextmanager
async def one_lane(gate: Gate) -> AsyncIterator[Connections]:
    """A lane's connection, closed at the end."""
    lanes = Connections(gate, 1)
    try:
        await lanes.start()
        yield lanes
    finally:
        await lanes.close()


@pytest.fixture
def ageing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are old at once."""
    monkeypatch.setattr(connections, "RENEW_MIN_S", -1.0)


async def successor(lanes: Connections, old: Any) -> Any:
    """The connection that replaces the old one; fails the test when none comes."""

    async def replaced() -> bool:
        return await lanes.of(0) is not old

    await kit.until(replaced, "a successor")
    return await lanes.of(0)


@pytest.mark.usefixtures("ageing")
async def test_an_old_connection_serves_until_its_successor_is_there(
    database: embedded.Server,
) -> None:
    gate = Gate(database)
    async with one_lane(gate) as lanes:
        old = await lanes.of(0)
        gate.open.clear()
        for _ in range(3):
            assert await lanes.of(0) is old
            assert await old.fetchval("select 1") == 1
        assert gate.tries == 2, "one successor is on its way, not three"
        gate.open.set()
        new = await successor(lanes, old)
        assert old.is_closed()
        assert await new.fetchval("select 1") == 1


@pytest.mark.usefixtures("ageing")
async def test_a_successor_that_fails_costs_nothing(
    database: embedded.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(database)
    async with one_lane(gate) as lanes:
        old = await lanes.of(0)
        gate.error = OSError("no route")
        assert await lanes.of(0) is old
        await asyncio.sleep(0)
        monkeypatch.setattr(connections, "RENEW_MIN_S", 1000.0)
        assert await lanes.of(0) is old
        assert await lanes.of(0) is old
        assert gate.tries == 2, "it tries again later, not at once"


@pytest.mark.usefixtures("ageing")
async def test_a_server_that_became_unsafe_is_refused(database: embedded.Server) -> None:
    """What the successor is refused for, its predecessor may not go on with."""
    gate = Gate(database)
    async with one_lane(gate) as lanes:
        gate.error = UnsafeDatabaseError("synchronous_commit is off, must be on")
        await lanes.of(0)
        await asyncio.sleep(0)
        with pytest.raises(UnsafeDatabaseError):
            await lanes.of(0)


@pytest.mark.usefixtures("ageing")
async def test_where_there_is_no_room_the_old_one_makes_it(database: embedded.Server) -> None:
    gate = Gate(database)
    async with one_lane(gate) as lanes:
        old = await lanes.of(0)
        gate.error = asyncpg.TooManyConnectionsError("sorry, too many clients already")
        await lanes.of(0)
        await asyncio.sleep(0)
        gate.error = None
        assert await lanes.of(0) is not old
        assert old.is_closed()


@pytest.mark.usefixtures("ageing")
@pytest.mark.parametrize("ready", [False, True])
async def test_closing_leaves_no_successor_behind(database: embedded.Server, ready: bool) -> None:
    gate = Gate(database)
    watcher = await asyncpg.connect(database.admin_dsn)
    writers = "select count(*) from pg_stat_activity where application_name = 'kafang-writer'"
    try:
        before = await watcher.fetchval(writers)
        async with one_lane(gate) as lanes:
            if not ready:
                gate.open.clear()
            await lanes.of(0)
            (coming,) = vars(lanes)["_fresh"]
            if ready:
                await coming
                assert await watcher.fetchval(writers) == before + 2

        async def gone() -> bool:
            return bool(await watcher.fetchval(writers) == before)

        await kit.until(gone, "as many connections as before")
        assert coming.done()
    finally:
        await watcher.close()


async def test_a_young_connection_is_not_replaced(database: embedded.Server) -> None:
    gate = Gate(database)
    async with one_lane(gate) as lanes:
        first = await lanes.of(0)
        assert await lanes.of(0) is first
        assert gate.tries == 1


async def test_a_dropped_connection_is_never_used_again(database: embedded.Server) -> None:
    gate = Gate(database)
    async with one_lane(gate) as lanes:
        first = await lanes.of(0)
        lanes.drop(0)
        second = await lanes.of(0)
        assert first.is_closed()
        assert second is not first


async def test_a_new_connection_is_warm(database: embedded.Server) -> None:
    """Nothing is left to learn of the calls: the first request's is prepared already."""
    connection = await connections.connect(database.app_dsn, allow_unsafe=False)
    try:
        prepared = await connection.fetch("select statement from pg_prepared_statements")
        statements = {row["statement"] for row in prepared}
        calls = ("read", "read_many", "post", "post_many")
        assert {SQL[f"ledger.{call}"] for call in calls} <= statements
    finally:
        await connection.close()
