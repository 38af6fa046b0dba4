"""Tools of the rules' tests: a product and its broken twins, run through the same scenario.

A twin of a SQL function is the product's text with a rule taken out, in a schema of its own that
comes first in the search path of the writer's connections: the writer itself is the product's. A
twin of Python code is a subclass or a patched collaborator. `caught` says that the scenario's own
check must see the difference.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import time
from importlib.resources import files
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from service.api_keys import operations as api_keys
from service.kernel import database as databases
from service.kernel import embedded, tokens
from service.kernel.auth import Credential
from service.kernel.coalescing import Lanes
from service.kernel.ids import new_id
from service.kernel.sql import SQL
from service.ledger import invariants
from service.ledger import snapshot as snapshots
from service.ledger.batch import Batch, Settled, terms_of
from service.ledger.commands import Command, Intent, Redeem, TopUp
from service.ledger.terms import Terms
from service.ledger.writer import Writer
from service.merchants import operations as merchants
from service.stores import operations as stores
from tests.ledger.ledger_fixture import CURRENCY, SCOPE_OF, Card, Ledger

DEADLINE_S = 30.0
# An operation refers to its store: whoever holds the store's row stops a post in the middle.
HOLD = "select from store where merchant_id = $1 for update"
ZONE = "Asia/Shanghai"
Swaps = Sequence[tuple[str, str]]
Hook = Callable[[int], Awaitable[None]]


def caught(is_twin: object, match: str) -> AbstractContextManager[object]:
    """Around a check: the product passes it, a twin must fail it with these words."""
    return pytest.raises(AssertionError, match=match) if is_twin else nullcontext()


def both(*twins: Any) -> pytest.MarkDecorator:
    """Run a test on the product (None) and on each twin."""
    names = ["product", *(f"twin{number}" for number in range(1, len(twins) + 1))]
    return pytest.mark.parametrize("twin", [None, *twins], ids=names)


async def turns(number: int) -> None:
    """Let the loop turn, without any time passing."""
    for _ in range(number):
        await asyncio.sleep(0)


def swapped(text: str, swaps: Swaps) -> str:
    """The text with each (old, new) replaced.

    An `old` that isn't there would make no twin at all.
    """
    for old, new in swaps:
        assert old in text, f"the product no longer holds {old!r}"
        text = text.replace(old, new)
    return text


async def schema_of(server: embedded.Server, function: str, swaps: Swaps | None) -> str:
    """The schema to look in first: public, or a new one that holds the twin of a function file."""
    if not swaps:
        return "public"
    text = (files("sql") / "functions" / f"{function}.sql").read_text("utf-8")
    schema = f"twin_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(server.owner_dsn)
    try:
        await connection.execute(
            f"create schema {schema}; grant usage on schema {schema} to kafang_app;"
            f"set search_path to {schema}, public"
        )
        await connection.execute(swapped(text, swaps))
    except asyncpg.InsufficientPrivilegeError:  # pragma: no cover - says what is missing
        raise AssertionError("the owner may not make schemas") from None
    finally:
        await connection.close()
    return schema


class Tap:
    """Sees the writer's posts, by number from 1: `before` runs first, `instead` in their place."""

    def __init__(self, before: Hook | None = None) -> None:
        self.before = before
        self.instead: Callable[..., Awaitable[Any]] | None = None
        self.posts = 0
        # SQL for each new connection; an error to raise instead of connecting.
        self.on_connect = ""
        self.unreachable: Exception | None = None

    async def commit_and_cut(self, inner: Any, query: str, *values: Any) -> Any:
        """In place of a post: the server does it, the line is cut, and nobody listens any more."""
        await inner.fetchval(query, *values)
        self.unreachable = ConnectionRefusedError("nobody listens")
        raise ConnectionResetError("the line was cut")


class Tapped:
    """A connection that tells its tap."""

    def __init__(self, inner: Any, tap: Tap) -> None:
        self.inner = inner
        self.tap = tap

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in ("fetchval", "fetchrow", "fetch", "execute"):
            return found
        return functools.partial(self._run, found)

    async def _run(self, method: Any, query: str, *values: Any, **options: Any) -> Any:
        if query not in (SQL["ledger.post"], SQL["ledger.post_many"]):
            return await method(query, *values, **options)
        self.tap.posts += 1
        if self.tap.before is not None:
            await self.tap.before(self.tap.posts)
        if self.tap.instead is not None:
            return await self.tap.instead(self.inner, query, *values)
        return await method(query, *values, **options)


class Shop(Ledger):
    """A merchant with a writer of its own; knows the server, so that a test can look behind it."""

    server: embedded.Server
    terms: Terms
    schema: str
    template_id: str

    async def card(self, amount: int = 0) -> Card:
        """An active card that holds the amount."""
        card = await self.issue(self.template_id)
        if amount:
            assert (await self.top_up(card, amount))["http"] == 201
        return card

    def command(self, intent: Intent, card: Card | None, key: bytes | None = None) -> Command:
        """A command as the door makes it."""
        number = card.number if card else ""
        scope, store_id = SCOPE_OF[type(intent)], self.store_id
        key = key or uuid4().bytes
        fingerprint = b"f" * 16
        return Command(
            intent, self.credential, scope, number, store_id, None, key, fingerprint, "req_1"
        )

    def redeeming(self, card: Card, amount: int, key: bytes | None = None) -> Command:
        """Take an amount."""
        intent = Redeem(uuid4().hex, amount, CURRENCY, [], True, None, None)
        return self.command(intent, card, key)

    def topping_up(self, card: Card, amount: int, key: bytes | None = None) -> Command:
        """Put an amount on a card."""
        return self.command(TopUp(amount, CURRENCY, "cash", None), card, key)

    async def connection(self) -> Any:
        """A writer's connection, with the twin in its path."""
        return await connect(self.server, self.schema)

    async def fold(self, connection: Any, commands: list[Command], new_id: Any = new_id) -> Batch:
        """Read and decide as the writer does, but post nothing."""
        state = await snapshots.read(connection, self.merchant_id, commands, lock=False)
        assert state is not None
        tenant = await terms_of(self.terms, self.merchant_id, commands, state)
        assert tenant is not None
        batch = Batch(tenant, state, b"q" * 32, new_id)
        for command in commands:
            batch.decide(command)
        return batch

    async def post(self, connection: Any, arguments: Sequence[Any]) -> list[int] | str:
        """Components that missed, or the SQLSTATE of the failure."""
        try:
            missed: list[int] = await connection.fetchval(SQL["ledger.post"], *arguments)
        except asyncpg.PostgresError as error:
            return error.sqlstate or ""
        return missed

    async def rows(self, query: str, *values: Any) -> list[Any]:
        """What a superuser sees; `$1` is the merchant."""
        connection = await asyncpg.connect(self.server.admin_dsn)
        try:
            return list(await connection.fetch(query, self.merchant_id, *values))
        finally:
            await connection.close()

    async def held(self) -> int:
        """What all cards hold together."""
        query = (
            "select coalesce(sum(principal + bonus), 0)::bigint from card where merchant_id = $1"
        )
        return int((await self.rows(query))[0][0])

    async def require_whole(self) -> None:
        """The invariants hold."""
        connection = await asyncpg.connect(self.server.owner_dsn)
        try:
            breaches = await invariants.verify_tenant(connection, self.merchant_id)
        finally:
            await connection.close()
        assert not breaches, breaches


async def connect(server: embedded.Server, schema: str = "public") -> Any:
    """A connection as the writer makes it, with a schema first in its path."""
    connection = await databases.connect_writer(server.app_dsn, allow_unsafe=False)
    await connection.execute(f"set search_path to {schema}, public")
    return connection


async def admin(server: embedded.Server) -> Any:
    """A superuser's connection: holds locks and looks on, past row-level security."""
    return await asyncpg.connect(server.admin_dsn)


@asynccontextmanager
async def lines(*dials: Awaitable[Any]) -> AsyncIterator[list[Any]]:
    """Open connections, dropped at the end whatever they are doing."""
    opened: list[Any] = []
    try:
        for dial in dials:
            opened.append(await dial)  # noqa: PERF401  # those that opened are dropped even if one does not
        yield opened
    finally:
        for connection in opened:
            connection.terminate()


@asynccontextmanager
async def shop(
    server: embedded.Server, desk_options: dict[str, Any] | None = None, **rules: Any
) -> AsyncIterator[Shop]:
    """A merchant of its own with a template (`rules`) and a writer (`desk_options`)."""
    pool = await databases.open_pool(server.app_dsn, 1)
    try:
        name = (await merchants.create(pool, "青禾美发", "test", CURRENCY, ZONE)).merchant_id
        store = await stores.create(pool, name, "一店", "青禾美发有限公司", ZONE, time(4))
        made = await api_keys.create(pool, name, "office", "merchant", None)
        token = tokens.parse(made.token)
        assert token is not None
        credential = await Terms(pool).credential(name, token.secret_hash)
        assert credential is not None
    finally:
        await pool.close()
    async with desk(server, credential, store.store_id, **(desk_options or {})) as opened:
        opened.template_id = await opened.publish(**rules)
        yield opened


@asynccontextmanager
async def desk(
    server: embedded.Server,
    credential: Credential,
    store_id: str,
    *,
    schema: str = "public",
    tap: Tap | None = None,
    writer_class: type[Writer] = Writer,
    lanes: int = 1,
    patience_s: float = DEADLINE_S,
) -> AsyncIterator[Shop]:
    """A worker process's writer for a merchant that exists; closed at the end."""
    pool = await databases.open_pool(server.app_dsn, 2)
    terms = Terms(pool)

    async def dial() -> Any:
        if tap is None:
            return await connect(server, schema)
        if tap.unreachable:
            raise tap.unreachable
        connection = await connect(server, schema)
        if tap.on_connect:
            await connection.execute(tap.on_connect)
        return Tapped(connection, tap)

    writer = writer_class(
        dial, terms, b"q" * 32, lanes=lanes, batch_max=64, queue_max=4096, patience_s=patience_s
    )
    await writer.start()
    opened = Shop(pool, writer, credential, store_id)
    opened.server, opened.terms, opened.schema, opened.template_id = server, terms, schema, ""
    try:
        yield opened
    finally:
        await writer.close()
        await pool.close()


def status_of(answer: object) -> int:
    """The HTTP status of a settled answer."""
    assert isinstance(answer, Settled), answer
    return answer.status


async def until(holds: Callable[[], Awaitable[object]], what: str) -> None:
    """Poll a condition, with a deadline that only a hang reaches."""
    loop = asyncio.get_running_loop()
    end = loop.time() + DEADLINE_S
    while not await holds():
        assert loop.time() < end, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(0.002)


async def slow(lanes: Lanes[Any, Any]) -> None:
    """Wait until there is a batch in flight, and all that are have become slow."""

    async def all_slow() -> bool:
        flights = [flight for flight in vars(lanes)["_flights"] if flight]
        return bool(flights) and all(flight.slow for flight in flights)

    await until(all_slow, "the batches in flight to be slow")


async def waits(watcher: Any, pid: int) -> bool:
    """Whether a backend waits for a lock."""
    query = "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1"
    return bool(await watcher.fetchval(query, pid))


async def done_or_waits(watcher: Any, task: "asyncio.Task[Any]", pid: int) -> bool:
    """True when the task is done; False when its backend waits for a lock."""

    async def settled() -> bool:
        return task.done() or await waits(watcher, pid)

    await until(settled, "the task to be done or to wait for a lock")
    return task.done()
