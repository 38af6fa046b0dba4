"""Does an export disturb the tills? All of a long ledger is walked while redemptions run.

The walk goes on in every second round, chunk after chunk without a pause; each chunk over a
connection of its own, so that every worker makes some.
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime

from service.api_keys import operations as api_keys
from service.kernel import database
from tests.bench import load, seed
from tests.bench.bench import Bench, say, told
from tests.bench.figures import BenchError, Line, alternate, rate_line, ratio_line
from tests.bench.measures import MANY, MEMORY_GROWTH_MAX, resident_kib
from tests.bench.seed import Merchant
from tests.harness.client import Client, Response

RATIO_MIN = 0.8
# So many that every worker has made one: its buffers are then there, and used again.
FIRST_CHUNKS = 10
ALONE, BESIDE = (f"HTTP, {MANY} connections, {how}" for how in ("alone", "beside an export"))
PATH = "/v1/reports/operations"


class Walk:
    """Exports of one ledger, one after the other; each must have `rows`."""

    def __init__(self, port: int, token: str, closing_at: datetime, rows: int) -> None:
        self._port = port
        self._token = token
        period = f"opening_at=2000-01-01T00:00:00Z&closing_at={closing_at:%Y-%m-%dT%H:%M:%SZ}"
        self._first = f"{PATH}?{period}"
        self._next = self._first
        self.rows = rows
        self._seen = 0
        self.walked = 0
        self.took_s = 0.0
        self.whole = 0
        self.resumed = 0

    async def during(self, run: Awaitable[float]) -> float:
        """Walk on until a run is over; its figure."""
        task = asyncio.ensure_future(run)
        while not task.done():
            await self.chunk()
        return await task

    async def to_the_end(self) -> None:
        """Walk on until all of the ledger was seen once."""
        while not self.whole:
            await self.chunk()

    async def chunk(self) -> None:
        """One chunk more; of each walk the one in the middle twice."""
        began = time.perf_counter()
        answer = await self._get()
        self.took_s += time.perf_counter() - began
        count = answer.body.count(b"\r\n") - 1
        if self._seen < self.rows / 2 <= self._seen + count:
            if (await self._get()).body != answer.body:
                raise BenchError("a chunk asked for again has other bytes")
            self.resumed += 1
        self._seen += count
        self.walked += count
        cursor = answer.headers.get("next-cursor")
        self._next = f"{PATH}?cursor={cursor}" if cursor else self._first
        if cursor is None:
            if self._seen != self.rows:
                raise BenchError(f"{self._seen} rows were exported, the ledger has {self.rows}")
            self._seen = 0
            self.whole += 1

    async def _get(self) -> Response:
        async with Client("127.0.0.1", self._port, self._token) as client:
            answer = await client.get(self._next)
        if answer.status != 200:
            raise BenchError(f"a chunk was answered {answer.status}: {answer.body[:500]!r}")
        return answer


async def export(bench: Bench) -> list[Line]:
    """Redemptions beside an export of the same ledger, against redemptions alone."""
    plan = bench.plan
    say(f"seeding {plan.export_operations:,} operations")
    (merchant,) = await seed.seed(bench.admin, 1, plan.cards, plan.export_operations)
    walk = await _walk(bench, merchant)
    targets = [load.all_cards(merchant)]

    async def alone() -> float:
        return await bench.http(targets, MANY)

    async def beside() -> float:
        return await walk.during(bench.http(targets, MANY))

    await alone()
    resident = [_resident(bench)]
    for _ in range(FIRST_CHUNKS):
        await walk.chunk()
    resident.append(_resident(bench))
    walk.walked, walk.took_s = 0, 0.0
    figures = await alternate(
        {ALONE: told(ALONE, alone), BESIDE: told(BESIDE, beside)}, plan.rounds
    )
    speed = walk.walked / walk.took_s
    await walk.to_the_end()
    resident.append(_resident(bench))
    growth = resident[-1] / resident[1] - 1
    mebibytes = [f"{kib / 1024:.0f}" for kib in resident]
    return [
        *(rate_line(name, figures[name]) for name in (ALONE, BESIDE)),
        ratio_line("beside an export / alone", figures[BESIDE], figures[ALONE], RATIO_MIN),
        Line("rows exported beside redemptions", f"{speed:,.0f}/s"),
        Line(
            "rows of a whole export, chunks asked for again",
            f"{walk.rows:,}, {walk.resumed}",
            "all, the same bytes",
            walk.whole > 0 and walk.resumed > 0,
        ),
        Line(
            "resident memory of the workers before, after the first chunks, at the end",
            f"{mebibytes[0]}, {mebibytes[1]} and {mebibytes[2]} MiB",
        ),
        Line(
            "growth from the first chunks to the end",
            f"{100 * growth:.1f} %",
            f"< {100 * MEMORY_GROWTH_MAX:.0f} %",
            growth < MEMORY_GROWTH_MAX,
        ),
    ]


async def _walk(bench: Bench, merchant: Merchant) -> Walk:
    """An office's export of all that was seeded."""
    pool = await database.open_pool(bench.app_dsn, 1)
    try:
        key = await api_keys.create(pool, merchant.merchant_id, "office", "merchant", None)
    finally:
        await pool.close()
    closing_at = datetime.now(UTC).replace(microsecond=0)
    recorded = seed.SQL["seed.recorded"]
    rows = await bench.admin.fetchval(recorded, merchant.merchant_id, closing_at)
    return Walk(bench.server.port, key.token, closing_at, rows)


def _resident(bench: Bench) -> int:
    return sum(resident_kib(pid) for pid in bench.server.workers())
