"""Nothing acknowledged is lost or applied twice, and the checks that say so work.

THREAT-T2, THREAT-T3, THREAT-T4. `python -m tests.crash` is the long version of the first test.
"""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from service.kernel import embedded
from service.ledger import door
from tests.conftest import ClientOf
from tests.crash import checker, kills, tables
from tests.crash.__main__ import crash
from tests.crash.crew import Crew
from tests.crash.intents import Shop
from tests.crash.journal import Entry, Finding
from tests.crash.kills import LeftoverError, Target
from tests.crash.run import ACKNOWLEDGED_MIN, IN_FLIGHT_MIN, Plan, run
from tests.crash.tables import Leg, Tables
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import Tenant

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")

UNSAFE = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}
LOSS_KILLS_MAX = 5


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter."""
    with tempfile.TemporaryDirectory(prefix="kafang-crash-") as name:
        os.chmod(name, 0o755)  # noqa: S103  # the secrets inside are 0600
        yield Path(name)


async def test_one_kill_of_each_kind(folder: Path) -> None:
    report = await crash(folder, Plan(len(kills.KINDS), "small"))
    assert report.findings == []
    assert {cycle.kind for cycle in report.cycles} == set(kills.KINDS)
    assert min(cycle.in_flight for cycle in report.cycles) >= IN_FLIGHT_MIN
    assert min(cycle.acknowledged for cycle in report.cycles) >= ACKNOWLEDGED_MIN


async def test_lost_acknowledgements_are_found(folder: Path) -> None:
    """Negative control: commits that are not durable, behind the development switch."""
    server = await asyncio.to_thread(servers.start, folder)
    try:
        await make_unsafe(server.postgres)
    finally:
        await asyncio.to_thread(servers.stop, server)
    with pytest.raises(RuntimeError, match="synchronous_commit is off, must be on"):
        await asyncio.to_thread(servers.start, folder)
    plan = Plan(LOSS_KILLS_MAX, "unsafe", ("postgres",), until_found=True)
    report = await run(folder, {"KAFANG_ALLOW_UNSAFE_DURABILITY": "1"}, plan)
    assert report.found("lost") > 0


async def make_unsafe(postgres: embedded.Server) -> None:
    """Let PostgreSQL acknowledge commits that it has not written."""
    admin = await asyncpg.connect(postgres.admin_dsn)
    try:
        for name, value in UNSAFE.items():
            await admin.execute(f"alter system set {name} = '{value}'")
    finally:
        await admin.close()


async def test_two_kills_within_a_second_end_no_service(folder: Path) -> None:
    server = await asyncio.to_thread(servers.start, folder)
    target = Target.of(server, {})
    try:
        for _ in range(2):
            pid = server.workers()[-1]  # the second time the one that came for the first
            kills.kill(pid)
            await kills.recover(target, "worker", pid, set())
        assert server.process.poll() is None
        assert target.starts == 0
    finally:
        await asyncio.to_thread(servers.stop, target.server)


async def test_a_leftover_process_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: a process in the tree that does not end with its supervisor."""
    monkeypatch.setattr(kills, "GONE_DEADLINE_S", 3.0)
    server = await asyncio.to_thread(servers.start, folder)
    stray = subprocess.Popen(["sleep", "600"])
    try:
        tree = kills.tree_of(server.process.pid)
        kills.kill(server.process.pid)
        with pytest.raises(LeftoverError, match="sleep"):
            await kills.recover(
                Target.of(server, {}), "master", server.process.pid, tree | {stray.pid}
            )
        assert not any(map(kills.lives, tree))
    finally:
        stray.kill()
        stray.wait()
        await asyncio.to_thread(servers.stop, server)


async def test_a_seal_breaks_with_any_change(
    postgres: embedded.Server, tenant: Tenant, office: Client
) -> None:
    async def sealed() -> str:
        return await tables.seal(postgres.owner_dsn, tenant.merchant_id)

    await tenants.make_card(office, tenant, 0, "first-card")
    before = await sealed()
    assert await sealed() == before
    await tenants.make_card(office, tenant, 0, "second-card")
    assert await sealed() != before


# The checker: what a crew really did, and then each lie it must report.

Case = tuple[list[Entry], list[Entry], Tables]
Lie = Callable[[Case], None]


@pytest.fixture(scope="module")
async def worked(server: Server, client_of: ClientOf) -> Case:
    """Journal, reads and tables of a crew that worked for a while."""
    made = await tenants.make(server.postgres.app_dsn, client_of, stores_count=2)
    shop = Shop(
        made.merchant_id, made.template_id, made.store_ids, made.pos_keys, made.merchant_key
    )
    crew = Crew(server, shop, 8, "lies")
    try:
        await crew.stock(16)
        crew.work()
        async with asyncio.timeout(60):
            while crew.counts["ok"] < 300 or not crew.counts["refused"] or not crew.reads():
                await asyncio.sleep(0.01)
                crew.require_running()
        await crew.rest()
    finally:
        await crew.leave()
    assert crew.findings == []
    return (
        crew.journal(),
        crew.reads(),
        await tables.read(server.postgres.owner_dsn, made.merchant_id),
    )


@pytest.fixture
def case(worked: Case) -> Case:
    """A copy to tamper with."""
    journal, reads, state = worked
    copy = Tables(dict(state.keys), dict(state.operations), list(state.legs))
    return [replace(entry) for entry in journal], [replace(entry) for entry in reads], copy


@pytest.fixture
def hash_of(server: Server) -> checker.HashOf:
    """How the service hashes its keys."""
    keys = door.Keys.of(bytes.fromhex((server.data_dir / "secret_key").read_text("ascii")))
    return lambda key: door.key_hash(keys, key)


def test_an_honest_journal_agrees(case: Case, hash_of: checker.HashOf) -> None:
    assert checker.check(*case, hash_of) == []


def first(case: Case, outcome: str, kind: str = "redeem") -> Entry:
    return next(e for e in case[0] if (e.outcome, e.kind) == (outcome, kind))


def one_more_acknowledged(case: Case) -> None:
    case[0].append(replace(first(case, "ok"), key="never-sent"))


def one_more_refused(case: Case) -> None:
    case[0].append(replace(first(case, "ok"), key="never-sent", outcome="refused"))


def applied_twice(case: Case) -> None:
    operations = case[2].operations
    done = operations[first(case, "ok").answered_id]
    operations["again"] = replace(done, operation_id="again")


def operation_gone(case: Case) -> None:
    del case[2].operations[first(case, "ok").answered_id]


def other_bytes(case: Case) -> None:
    first(case, "ok").answer += b" "


def other_amount(case: Case) -> None:
    entry = first(case, "ok", "top_up")
    entry.amount = (entry.amount or 0) + 1


def refused_but_accepted(case: Case) -> None:
    first(case, "ok").outcome = "refused"


def never_answered(case: Case) -> None:
    first(case, "ok").outcome = "unknown"


def not_asked_for(case: Case) -> None:
    operations = case[2].operations
    done = operations[first(case, "ok").answered_id]
    operations["foreign"] = replace(done, operation_id="foreign", marker=None)


def key_of_nobody(case: Case) -> None:
    case[0].remove(first(case, "ok"))


def version_missing(case: Case) -> None:
    del case[2].legs[0]


def other_balance(case: Case) -> None:
    leg = case[2].legs[-1]
    case[2].legs[-1] = Leg(leg.card_id, leg.version, leg.operation_id, leg.principal + 1, leg.bonus)


def stale_read(case: Case) -> None:
    late = max((e for e in case[0] if e.version > 2), key=lambda e: e.returned_at)
    early = min((e for e in case[0] if e.card_id == late.card_id), key=lambda e: e.version)
    read = replace(early, kind="read", invoked_at=late.returned_at + 1)
    case[1].append(replace(read, returned_at=late.returned_at + 2))


def unknown_balance_read(case: Case) -> None:
    read = next(e for e in case[1] if e.outcome == "ok")
    read.balances = (read.balances[0] + 1, read.balances[1])


@pytest.mark.parametrize(
    ("lie", "sort"),
    [
        (one_more_acknowledged, "lost"),
        (one_more_refused, "lost"),
        (operation_gone, "lost"),
        (applied_twice, "twice"),
        (other_bytes, "breach"),
        (other_amount, "breach"),
        (refused_but_accepted, "breach"),
        (never_answered, "breach"),
        (not_asked_for, "breach"),
        (key_of_nobody, "breach"),
        (version_missing, "breach"),
        (other_balance, "breach"),
        (stale_read, "breach"),
        (unknown_balance_read, "breach"),
    ],
)
def test_a_lie_is_reported(lie: Lie, sort: str, case: Case, hash_of: checker.HashOf) -> None:
    lie(case)
    found: list[Finding] = checker.check(*case, hash_of)
    assert sort in {finding.sort for finding in found}
