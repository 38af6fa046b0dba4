"""The drill: old serves, new migrates and takes over, old comes back, new comes again.

Both serve one database that belongs to neither. The old version is started anew on the new schema:
the way back, and what its supervisor would do after a crash.
"""

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

import asyncpg
from msgspec import Struct, field

from service.kernel import embedded
from service.ledger import invariants
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import Tenant
from tests.upgrade.traffic import Traffic

SECRET = "5c" * 32
CARDS = 50
FUNDS = 1_000_000
STOP_S = 30.0
REDEEMED = """
select count(*) from operation
where merchant_id = $1 and kind = 'redeem' and status = 'accepted' and request_no like 'upgrade-%'
"""

Say = Callable[[str], None]


class Plan(Struct, frozen=True):
    """The folders of two versions, how many requests a second, how long each state lasts."""

    old: Path
    new: Path
    per_s: float = 500.0
    state_s: float = 10.0
    workers: int = 2
    say: Say = print


class FailedError(Exception):
    """A request failed: there is no point in going on."""


class Report(Struct):
    """What was found: `lost` are answers that a stopped service owed."""

    failures: list[str]
    answered: int
    sent_again: int
    lost: int
    slowest_s: float
    applied: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The figures in one line."""
        return (
            f"{self.answered} requests answered 2xx, {len(self.failures)} failed, "
            f"{self.sent_again} sent again after a service closed the line, "
            f"{self.lost} of them had been taken; {len(self.applied)} migrations and functions "
            f"applied under load; slowest answer {self.slowest_s:.2f} s"
        )


class Site(Struct):
    """Where services are started: a folder, and the one database. `started` are all so far."""

    folder: Path
    postgres: embedded.Server
    workers: int
    started: list[Server] = field(default_factory=list)

    def start(self, version: Path) -> Server:
        """A service of this version on a port of its own."""
        data_dir = self.folder / f"data-{servers.free_port()}"
        data_dir.mkdir()
        settings = {
            "DATABASE_URL": self.postgres.app_dsn,
            "KAFANG_SECRET_KEY": SECRET,
            "KAFANG_WORKERS": str(self.workers),
        }
        # A version from before there were keys of people refuses what it doesn't know.
        if "key_store" in (version / "service/settings.py").read_text("utf-8"):
            settings |= {"KAFANG_KEKS": SECRET, "KAFANG_KEY_STORE": self.postgres.admin_dsn}
        self.started.append(servers.start(data_dir, settings=settings, cwd=version))
        return self.started[-1]

    def migrate(self, version: Path) -> None:
        """What the runbook says: the new version's command, with the owner's URL."""
        self.command(version, "migrate")

    def command(self, version: Path, *arguments: str) -> dict[str, str]:
        """What a version's command prints."""
        done = servers.command_in(
            version, self.folder, servers.free_port(), *arguments, "--json",
            DATABASE_URL=self.postgres.app_dsn, KAFANG_MIGRATION_URL=self.postgres.owner_dsn,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        printed: dict[str, str] = json.loads(done.stdout)
        return printed

    def merchant(self, version: Path) -> Tenant:
        """A merchant with a store and keys, made by a version on the schema that it knows."""
        made = self.command(version, "create-merchant", "--name", "青禾美发")
        mine = ("--merchant", made["merchant_id"])
        entity = ("--legal-entity", "青禾美发管理有限公司")
        store = self.command(version, "create-store", *mine, "--name", "一店", *entity)
        store_id = store["store_id"]
        till = self.command(version, "create-key", *mine, "--name", "till", "--store", store_id)
        office = self.command(
            version, "create-key", *mine, "--name", "office", "--bundle", "merchant"
        )
        return Tenant(made["merchant_id"], [store_id], [till["token"]], office["token"], "")


def stop(server: Server) -> None:
    """End a service as an init system does; raises RuntimeError when it doesn't end well."""
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
    if code := server.process.wait(STOP_S):
        raise RuntimeError(f"ended with {code}:\n{server.log.read_text('utf-8')[-2000:]}")


async def run(folder: Path, plan: Plan) -> Report:
    """Everything once; `failures` has failed requests and broken promises of the ledger."""
    with embedded.running(folder / "postgres") as postgres:
        site = Site(folder, postgres, plan.workers)
        await asyncio.to_thread(site.migrate, plan.old)
        before = await _applied(postgres)
        try:
            old = await asyncio.to_thread(site.start, plan.old)
            tenant = await asyncio.to_thread(site.merchant, plan.old)
            traffic = await _traffic(tenant, old, plan)
            with suppress(FailedError):
                await _under(traffic, _states(site, old, traffic, plan))
        finally:
            for server in site.started:
                servers.stop(server)
        failures = traffic.failures + await _breaches(postgres, traffic)
        applied = sorted(dict((await _applied(postgres)).items() - before.items()))
    counts = traffic.counts
    figures = (counts["answered"], counts["sent again"], counts["answers lost"], traffic.slowest_s)
    return Report(failures, *figures, applied)


async def _traffic(tenant: Tenant, server: Server, plan: Plan) -> Traffic:
    """Clients of a merchant of their own, with cards to redeem from."""

    def client_of(token: str) -> Client:
        return Client(server.host, server.port, token)

    async with client_of(tenant.merchant_key) as office:
        tenant.template_id = await tenants.publish(office)
        cards = [await tenants.make_card(office, tenant, FUNDS, f"card-{n}") for n in range(CARDS)]
    return Traffic(server.port, tenant, cards, plan.per_s)


async def _under(traffic: Traffic, work: Coroutine[None, None, None]) -> None:
    """Do it while the traffic runs."""
    running = asyncio.create_task(traffic.run())
    try:
        await work
    finally:
        traffic.end()
        await running


async def _breaches(postgres: embedded.Server, traffic: Traffic) -> list[str]:
    """Broken promises of the ledger, and redemptions that were not answered as often as done."""
    verified = await invariants.verify(postgres.owner_dsn)
    found = [f"{b.invariant}: {b.subject}: {b.detail}" for b in verified.breaches]
    connection = await asyncpg.connect(postgres.admin_dsn, database="kafang")
    try:
        done = await connection.fetchval(REDEEMED, traffic.tenant.merchant_id)
    finally:
        await connection.close()
    told = traffic.counts["redeemed"]
    return found + ([f"{told} redemptions were answered, {done} done"] if done != told else [])


async def _applied(postgres: embedded.Server) -> dict[str, str]:
    """The files that the schema comes from, with their checksums."""
    connection = await asyncpg.connect(postgres.owner_dsn)
    try:
        rows = await connection.fetch("select kind || '/' || name, checksum from schema_migration")
    finally:
        await connection.close()
    return {row[0]: row[1] for row in rows}


async def _states(site: Site, old: Server, traffic: Traffic, plan: Plan) -> None:
    """Each state under load for a while."""

    async def hold(text: str) -> None:
        await asyncio.sleep(plan.state_s)
        plan.say(f"{text}: {traffic.counts['answered']} answered, {len(traffic.failures)} failed")
        if traffic.failures:
            raise FailedError

    async def start(version: Path) -> Server:
        return await asyncio.to_thread(site.start, version)

    await hold("the old version serves")
    await asyncio.to_thread(site.migrate, plan.new)
    await hold("the old version serves on the new schema")
    new = await start(plan.new)
    await traffic.move(new.port)
    await asyncio.to_thread(stop, old)
    await hold("the new version serves, the old one is stopped")
    back = await start(plan.old)
    await traffic.move(back.port)
    await asyncio.to_thread(stop, new)
    await hold("back: the old version was started on the new schema")
    again = await start(plan.new)
    traffic.divert(again.port)
    await asyncio.to_thread(stop, back)
    await hold("the old version was stopped while its lines were in use")
