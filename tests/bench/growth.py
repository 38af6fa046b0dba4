"""Does it get slower as it grows? A small and a large ledger, each with a service of its own.

Both are databases of one server, so that the same hardware and the same settings serve both in
turn. Seeding the large one takes minutes and much disk; what is needed is checked first.
"""

import functools
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from msgspec.structs import replace

from service.kernel.migrations import migrate
from tests.bench import load, seed
from tests.bench.bench import Bench, Plan, say, told
from tests.bench.figures import BenchError, Line, alternate, rate_line, ratio_line
from tests.bench.measures import MANY
from tests.harness import server as servers

SLOWDOWN_MAX = 1.3
# Rows and indexes take 2.2 kB for each operation; the rest is write-ahead log and headroom.
BYTES_PER_OPERATION = 3000


async def growth(bench: Bench) -> list[Line]:
    """Throughput on the small ledger over throughput on the large one, both in use for a while.

    The first redemption that touches a page after a checkpoint writes all of it to the log. Right
    after seeding that is every page of the large ledger, and of the small one hardly any.
    """
    plan = bench.plan
    large = replace(plan, cards=plan.large_cards, operations=plan.large_operations)
    _require_disk(bench.server.data_dir, large)
    names = [_name(plan), _name(large)]
    async with AsyncExitStack() as stack:
        benches = [
            await stack.enter_async_context(_grown(bench, size, database))
            for size, database in ((plan, "kafang_small"), (large, "kafang_large"))
        ]
        contenders = {
            name: told(name, functools.partial(b.http, [load.all_cards(b.merchant)], MANY))
            for name, b in zip(names, benches, strict=True)
        }
        for b in benches:
            await load.measure(b.server.port, [load.all_cards(b.merchant)], MANY, plan.settle_s)
        figures = await alternate(contenders, plan.rounds)
    slowdown = ratio_line("small / large", figures[names[0]], figures[names[1]], None)
    ratio = float(slowdown.figure.split(" ")[0])
    target = replace(slowdown, target=f"≤ {SLOWDOWN_MAX} ×", met=ratio <= SLOWDOWN_MAX)
    return [*(rate_line(name, figures[name]) for name in names), target]


@asynccontextmanager
async def _grown(bench: Bench, plan: Plan, database: str) -> AsyncIterator[Bench]:
    """A database of its own on the bench's PostgreSQL, seeded, with a service of its own."""
    postgres = bench.server.postgres
    await bench.admin.execute(seed.SQL["databases.create"].replace("kafang_new", database))
    try:
        await migrate(_in(postgres.owner_dsn, database))
        async with seed.superuser(postgres.admin_dsn, database) as admin:
            say(f"seeding {database}: {_name(plan)}")
            (merchant,) = await seed.seed(admin, 1, plan.cards, plan.operations)
            settings = {
                "DATABASE_URL": _in(postgres.app_dsn, database),
                "KAFANG_MIGRATION_URL": _in(postgres.owner_dsn, database),
                "KAFANG_SECRET_KEY": secrets.token_hex(32),
                "KAFANG_KEKS": secrets.token_hex(32),
                "KAFANG_KEY_STORE": "file",
            }
            with TemporaryDirectory(prefix="kafang-bench-") as folder:
                server = servers.start(Path(folder), settings=settings)
                try:
                    app_dsn = settings["DATABASE_URL"]
                    yield Bench(plan, server, app_dsn, bench.postmaster, admin, merchant)
                finally:
                    servers.stop(server)
    finally:
        await bench.admin.execute(seed.SQL["databases.drop"].replace("kafang_new", database))


def _in(dsn: str, database: str) -> str:
    return urlsplit(dsn)._replace(path=f"/{database}").geturl()


def _name(plan: Plan) -> str:
    operations = max(plan.operations, 2 * plan.cards)
    return f"{plan.cards:,} cards and {operations:,} operations, HTTP, {MANY} connections"


def _require_disk(folder: Path, plan: Plan) -> None:
    needed = plan.operations * BYTES_PER_OPERATION
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BenchError(
            f"{plan.operations:,} operations need about {needed / 1e9:.0f} GB of disk, {folder} "
            f"has {free / 1e9:.0f} GB; choose --large-operations, or another place with TMPDIR"
        )
