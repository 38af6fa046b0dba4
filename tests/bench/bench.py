"""One run of the bench: a server, its ledger, and how long and how often things are measured."""

import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from service.kernel.database import Connection
from tests.bench import cpu, load, pgbench, seed
from tests.bench.figures import BenchError, Run
from tests.bench.load import Target
from tests.bench.seed import Merchant
from tests.harness.client import Client
from tests.harness.server import Server


class Plan(Struct, frozen=True):
    """How much is measured. Seconds are those of one run, after its warm-up.

    `choosing_rounds` find pgbench's best number of clients; `settle_s` is how long ledgers of
    different sizes are used before they are compared. `log_files` of PostgreSQL's write-ahead log
    (16 MiB each) are made before anything is measured, as they are where it has run for a day.
    """

    rounds: int = 9
    choosing_rounds: int = 3
    seconds: int = 8
    warm_up_s: int = 2
    settle_s: int = 40
    log_files: int = 320
    cards: int = 10_000
    operations: int = 100_000
    merchants: int = 1000
    latency_s: int = 15
    soak_s: int = 600
    overload_s: int = 120
    export_operations: int = 1_000_000
    large_cards: int = 1_000_000
    large_operations: int = 10_000_000
    pgbench_clients: tuple[int, ...] = (16, 32, 64, 128)
    hot_clients: tuple[int, ...] = (1, 2, 4, 8, 16)


QUICK = Plan(
    rounds=1,
    choosing_rounds=1,
    seconds=2,
    warm_up_s=1,
    settle_s=1,
    log_files=4,
    cards=1000,
    operations=10_000,
    merchants=100,
    latency_s=3,
    soak_s=20,
    overload_s=5,
    export_operations=30_000,
    large_cards=2000,
    large_operations=20_000,
    pgbench_clients=(32, 64),
    hot_clients=(2, 8),
)


class Bench(Struct):
    """What a measurement gets. `merchant` has the plan's cards and operations."""

    plan: Plan
    server: Server
    app_dsn: str
    postmaster: int
    admin: Connection
    merchant: Merchant

    async def http(self, targets: Sequence[Target], connections: int) -> float:
        """Redemptions per second over HTTP, each of them a 201 and in the ledger."""
        port, merchants = self.server.port, [target.merchant for target in targets]
        await load.measure(port, targets, connections, self.plan.warm_up_s)
        before = self._cpu_us()
        run = await load.measure(port, targets, connections, self.plan.seconds)
        self._tell_cpu(before, run)
        return await self.accounted(run, merchants)

    async def pgbench(self, cards: tuple[int, int], clients: int, answer: bytes) -> float:
        """Redemptions per second one by one, each of them in the ledger."""
        plan = self.plan
        before = self._cpu_us()
        run = await pgbench.measure(
            self.app_dsn, self.merchant, cards, answer, clients, plan.warm_up_s, plan.seconds
        )
        self._tell_cpu(before, run)
        return await self.accounted(run, [self.merchant])

    def _cpu_us(self) -> dict[str, float]:
        """CPU time so far: of the workers, of all of PostgreSQL, and of the clients that ended.

        Only where the system tells it (Linux); elsewhere nothing.
        """
        if not Path("/proc/self/stat").exists():
            return {}
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "service": sum(cpu.busy_us(pid) for pid in self.server.workers()),
            "PostgreSQL": cpu.family_us(self.postmaster),
            "client": (used.ru_utime + used.ru_stime) * 1e6,
        }

    def _tell_cpu(self, before: dict[str, float], run: Run) -> None:
        each = [
            f"{(now - before[name]) / run.least:.0f} {name}" for name, now in self._cpu_us().items()
        ]
        if each:
            say(f"    CPU us per redemption: {', '.join(each)}")

    async def accounted(self, run: Run, merchants: list[Merchant]) -> float:
        """The run's rate, after comparing its own count with the ledger's."""
        gained = await seed.redeemed(self.admin, merchants, run.stamp)
        if not run.least <= gained <= run.most:
            raise BenchError(f"{run.least} redemptions were counted, the ledger gained {gained}")
        return run.per_s

    async def answer(self) -> bytes:
        """A redemption's answer, for pgbench to store one of its length."""
        stamp = seed.new_stamp()
        body = {
            "request_no": f"{stamp}-0-1",
            "amount": {"value": 1, "currency": "CNY"},
            "sources": [{"card_number": seed.card_number(0)}],
        }
        async with Client(self.server.host, self.server.port, self.merchant.token) as client:
            answer = await client.post("/v1/redemptions", body, key=stamp)
        if answer.status != 201:
            raise BenchError(f"a redemption was answered {answer.status}: {answer.body!r}")
        return answer.body


@asynccontextmanager
async def opened(plan: Plan, server: Server) -> AsyncIterator[Bench]:
    """A bench on a running server, seeded."""
    postgres = server.postgres
    async with seed.superuser(postgres.admin_dsn) as admin:
        say(f"seeding {plan.cards:,} cards with {plan.operations:,} operations")
        (merchant,) = await seed.seed(admin, 1, plan.cards, plan.operations)
        await seed.fill_log(admin, plan.log_files)
        postmaster = postgres.postmaster_pid
        assert postmaster is not None
        yield Bench(plan, server, postgres.app_dsn, postmaster, admin, merchant)


def say(text: str) -> None:
    """Progress, beside the report."""
    print(text, file=sys.stderr, flush=True)


Rate = Callable[[], Awaitable[float]]


def told(what: str, rate: Rate) -> Rate:
    """The same, telling each figure as it comes."""

    async def run() -> float:
        figure = await rate()
        say(f"  {what}: {figure:,.0f}/s")
        return figure

    return run
