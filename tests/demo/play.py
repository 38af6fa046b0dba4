"""The parent: a server, its chain, the processes, the passing days, and the facts at the end."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from random import Random

import asyncpg
from msgspec import Struct, field

from service.kernel.sql import SQL as SERVICE_SQL
from service.kernel.sql import load
from service.ledger import invariants
from tests.demo import chain as chains
from tests.demo.books import Facts, Sum
from tests.demo.chain import Chain
from tests.demo.messages import OFFICE, Customer, Op, Ready, Setup, decode_line, encode
from tests.demo.progress import Progress
from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import ROOT, Server

SQL = load(files("tests.demo") / "queries")
# A validity of a year ends within the story, so that bonuses lapse.
DAYS = 550
TICK_S = 0.5
READY_S = 60.0
CLOSING_S = 60.0
# How many of a till's customers also go to another store.
ROAMING = 0.5


class Stage(Struct):
    """What the parent sees: the processes, everything they reported, every customer."""

    seed: int
    chain: Chain
    server: Server
    luck: Random
    processes: dict[str, Process] = field(default_factory=dict)
    setups: list[tuple[Process, Setup]] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)


def play(seconds: float, seed: int, progress: Progress) -> Facts:
    """Run the story for so many seconds on a server of its own."""
    progress.say("starting PostgreSQL and the service")
    with servers.running() as server:
        return asyncio.run(_play(server, seconds, seed, progress))


async def _play(server: Server, seconds: float, seed: int, progress: Progress) -> Facts:
    chain = await chains.set_up(server.postgres.app_dsn, server.host, server.port)
    stage = Stage(seed, chain, server, Random(f"{seed}/streets"))
    async with _open(stage):
        started = time.perf_counter()
        days = await _days(stage, seconds, progress)
    seconds_run = time.perf_counter() - started
    progress.done(len(stage.ops))
    progress.say("reading every card, checking the invariants")
    return await _facts(stage, seconds_run, days)


@asynccontextmanager
async def _open(stage: Stage) -> AsyncIterator[None]:
    """All processes at work; afterwards each finishes the visit under way and ends."""
    try:
        places = (OFFICE, *range(len(stage.chain.stores)))
        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(_start(stage, place))
        stage.setups.sort(key=lambda pair: pair[1].place)
        for process, setup in stage.setups:
            _tell(process, encode(setup))
        reading = asyncio.gather(*(_read(stage, one) for one in stage.processes.values()))
        try:
            yield
        finally:
            for process in stage.processes.values():
                _close_input(process)
            async with asyncio.timeout(CLOSING_S):
                await reading
                await asyncio.gather(*(one.wait() for one in stage.processes.values()))
    finally:
        for process in stage.processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _start(stage: Stage, place: int) -> None:
    chain = stage.chain
    token = chain.office_key if place == OFFICE else chain.till_keys[place]
    setup = Setup(
        stage.server.host,
        stage.server.port,
        token,
        place,
        stage.seed,
        chain.stores,
        chain.templates,
    )
    module = (
        ["tests.demo.mini_program"]
        if place == OFFICE
        else ["tests.demo.till", "--store", str(place)]
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    stage.processes[setup.role] = process
    # The story begins when everybody is there.
    assert process.stdout is not None
    async with asyncio.timeout(READY_S):
        if not isinstance(decode_line(await process.stdout.readline()), Ready):
            raise RuntimeError(f"{setup.role} did not say that it is ready")
    stage.setups.append((process, setup))


async def _read(stage: Stage, process: Process) -> None:
    """Everything a process reports, until it ends."""
    assert process.stdout is not None
    while raw := await process.stdout.readline():
        line = decode_line(raw)
        if isinstance(line, Customer):
            _walk_in(stage, line)
        elif isinstance(line, Op):
            stage.ops.append(line)
            stage.kinds[line.kind] += 1


def _walk_in(stage: Stage, customer: Customer) -> None:
    """Each store has its customers, and some go to another one too."""
    stage.customers.append(customer)
    tills = [process for process, setup in stage.setups if setup.place != OFFICE]
    homes = [tills[len(stage.customers) % len(tills)]]
    if stage.luck.random() < ROAMING:
        homes.append(stage.luck.choice([till for till in tills if till is not homes[0]]))
    for process in homes:
        _tell(process, encode(customer))


def _tell(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    if not process.stdin.is_closing():
        process.stdin.write(line + b"\n")


def _close_input(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


async def _days(stage: Stage, seconds: float, progress: Progress) -> int:
    """Move the merchant's clock on until the time is over: eighteen months, at changing hours."""
    ticks = max(1, round(seconds / TICK_S))
    step = timedelta(days=DAYS) / ticks + timedelta(minutes=97)
    today = datetime.now(UTC)
    begun = time.monotonic()
    async with Client(stage.server.host, stage.server.port, stage.chain.office_key) as client:
        for tick in range(1, ticks + 1):
            await asyncio.sleep(max(0.0, begun + tick * seconds / ticks - time.monotonic()))
            for role, process in stage.processes.items():
                if process.returncode is not None:
                    raise RuntimeError(f"{role} ended with {process.returncode}")
            if tick < ticks:
                today += step
                answer = await client.post("/v1/test-clock", {"now": today.isoformat()})
                if answer.status != 200:
                    raise RuntimeError(f"the clock did not move: {answer.body!r}")
            progress.show(tick / ticks, len(stage.ops), stage.kinds)
    return (ticks - 1) * step // timedelta(days=1)


async def _facts(stage: Stage, seconds: float, days: int) -> Facts:
    dsn, merchant_id = stage.server.postgres.owner_dsn, stage.chain.merchant_id
    verified = await invariants.verify(dsn)
    ledger, due, cards = await _ledger(dsn, merchant_id)
    return Facts(
        seed=stage.seed,
        seconds=seconds,
        days=days,
        stores=stage.chain.stores,
        exits={role: process.returncode or 0 for role, process in stage.processes.items()},
        ops=stage.ops,
        ledger=ledger,
        due=due,
        cards=cards,
        balances=await _balances(stage),
        checks=verified.checks,
        operations=verified.operations,
        breaches=[f"{one.invariant} {one.subject}: {one.detail}" for one in verified.breaches],
    )


async def _ledger(dsn: str, merchant_id: str) -> tuple[dict[str, Sum], Sum, int]:
    """What the rows say, in one snapshot."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(SERVICE_SQL["tenant.set"], merchant_id)
            flows = await connection.fetch(SQL["demo.flows"], merchant_id)
            due = await connection.fetchrow(SQL["demo.due"], merchant_id)
            cards: int = await connection.fetchval(SQL["demo.cards"], merchant_id)
    finally:
        await connection.close()
    ledger = {row["flow"]: Sum(row["operations"], row["principal"], row["bonus"]) for row in flows}
    assert due is not None
    return ledger, Sum(0, due["principal"], due["bonus"]), cards


async def _balances(stage: Stage) -> Sum:
    """What the cards show over the API, summed."""
    principal = bonus = 0
    async with Client(stage.server.host, stage.server.port, stage.chain.office_key) as client:
        for customer in stage.customers:
            answer = await client.get(f"/v1/cards/{customer.card_id}")
            if answer.status != 200:
                raise RuntimeError(f"{customer.card_id} can't be read: {answer.body!r}")
            shown = answer.json()["balances"]
            principal += shown["principal"]
            bonus += shown["bonus"]
    return Sum(len(stage.customers), principal, bonus)
