"""What numbering and sealing events costs the tills, how far the feed is behind, how fast to check.

"Not numbered" is the same service while PostgreSQL's process of the sequencer is stopped; what has
piled up then is numbered before the next round.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import asyncpg

from service.kernel.database import Connection
from service.kernel.sql import SQL
from tests.bench import load, seed
from tests.bench.bench import Bench, say, told
from tests.bench.figures import BenchError, Line, alternate, rate_line, ratio_line
from tests.bench.measures import MANY

RATIO_MIN = 0.9
BEHIND_MAX_S = 1.0
VERIFIED_MAX_S = 60.0
MILLION = 1_000_000
LOOK_S = 0.1
PATIENCE_S = 60.0
CHECKS = ("d11_events", "d11_order", "d12_chain", "d12_sealed")
NUMBERED, STOPPED = (f"HTTP, {MANY} connections, {how}" for how in ("numbered", "not numbered"))
BACKEND = """
select pid, state from pg_stat_activity a
where application_name = 'kafang-sequencer' and exists (
  select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory' and l.granted)
"""


async def sequencer(bench: Bench) -> list[Line]:
    """Redemptions that are numbered as they come, against redemptions that nobody numbers."""
    targets = [load.all_cards(bench.merchant)]
    behind: list[float] = []

    async def numbered() -> float:
        await _caught_up(bench)
        run = asyncio.ensure_future(bench.http(targets, MANY))
        behind.append(await _watched(eye, run))
        return await run

    async def stopped() -> float:
        await _caught_up(bench)
        async with _nobody_numbers(bench):
            return await bench.http(targets, MANY)

    await bench.http(targets, MANY)
    # The bench's own connection is busy while it measures.
    eye: Connection = await asyncpg.connect(bench.server.postgres.owner_dsn)
    try:
        figures = await alternate(
            {NUMBERED: told(NUMBERED, numbered), STOPPED: told(STOPPED, stopped)},
            bench.plan.rounds,
        )
    finally:
        await eye.close()
    entries, took_s = await _verified(bench)
    per_million_s = took_s * MILLION / entries
    return [
        *(rate_line(name, figures[name]) for name in (NUMBERED, STOPPED)),
        ratio_line("numbered / not numbered", figures[NUMBERED], figures[STOPPED], RATIO_MIN),
        Line(
            "the oldest operation without a number, at its latest",
            f"{max(behind):.2f} s",
            f"< {BEHIND_MAX_S:.0f} s",
            max(behind) < BEHIND_MAX_S,
        ),
        Line(
            f"checking a chain of {entries:,} events, for each million",
            f"{per_million_s:.1f} s",
            f"< {VERIFIED_MAX_S:.0f} s",
            per_million_s < VERIFIED_MAX_S,
        ),
    ]


async def _watched(eye: Connection, run: "asyncio.Future[float]") -> float:
    """How long the oldest operation without a number waited, at most, while a run went on."""
    most_s = 0.0
    while not run.done():
        row = await eye.fetchrow(SQL["chain.waiting"], False)
        assert row is not None
        most_s = max(most_s, row["waiting_s"] or 0.0)
        await asyncio.wait([run], timeout=LOOK_S)
    return most_s


async def _caught_up(bench: Bench) -> None:
    """Wait until everything has its number."""
    for _ in range(int(PATIENCE_S / LOOK_S)):
        if not await bench.admin.fetchval("select exists (select from unsequenced)"):
            return
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"events are still not numbered after {PATIENCE_S:.0f} s")


@asynccontextmanager
async def _nobody_numbers(bench: Bench) -> AsyncIterator[None]:
    """Stop the sequencer's process of PostgreSQL, while it holds nothing but its lead."""
    pid = await _stopped(bench)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _stopped(bench: Bench) -> int:
    for _ in range(1_000):
        [leader] = await bench.admin.fetch(BACKEND)
        os.kill(leader["pid"], signal.SIGSTOP)
        [now] = await bench.admin.fetch(BACKEND)
        if now["state"] == "idle":
            return int(leader["pid"])
        os.kill(leader["pid"], signal.SIGCONT)
    raise BenchError("the sequencer is never idle")


async def _verified(bench: Bench) -> tuple[int, float]:
    """How many events a seeded chain has, and how long all its checks took."""
    plan = bench.plan
    say(f"seeding {plan.export_operations:,} operations")
    (merchant,) = await seed.seed(bench.admin, 1, plan.cards, plan.export_operations)
    began, found = perf_counter(), list[object]()
    async with bench.admin.transaction(readonly=True):
        await bench.admin.execute(SQL["tenant.set"], merchant.merchant_id)
        for check in CHECKS:
            found += await bench.admin.fetch(SQL[f"invariants.{check}"], merchant.merchant_id)
    took_s = perf_counter() - began
    if found:
        raise BenchError(f"the chain is not whole: {found[:3]}")
    query = "select last_seq from chain_head where merchant_id = $1"
    return int(await bench.admin.fetchval(query, merchant.merchant_id)), took_s
