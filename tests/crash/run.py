"""Rounds of cycles: load, kill, recover, check.

A round has a merchant and a crew of its own, so that the journal in memory stays small. After every
cycle the whole journal of the round is held against the tables; at the end of a round its
invariants are verified and its keys are sealed; at the very end all seals and all invariants are
verified again.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from msgspec import Struct, field

from service.ledger import door, invariants
from tests.crash import checker, kills, tables
from tests.crash.crew import Crew
from tests.crash.feed import Reader
from tests.crash.intents import Shop
from tests.crash.journal import Finding
from tests.crash.kills import Kind, Target
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client

TILLS = 48
CARDS = 200
IN_FLIGHT_MIN = 32
ACKNOWLEDGED_MIN = 500
ROUND_CYCLES = 20
LOAD_DEADLINE_S = 60.0
JITTER_S = 0.15
STORES = 2

Say = Callable[[str], None]


class Cycle(Struct, frozen=True):
    """One kill: what was under way, and what came of it."""

    kind: Kind
    in_flight: int
    acknowledged: int  # since the kill before
    unanswered: int  # requests that got no answer, or an unclear one
    recovery_s: float


class Report(Struct):
    """All that a run found."""

    cycles: list[Cycle] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    starts: int = 0

    def found(self, sort: str) -> int:
        """How many findings of a sort."""
        return sum(finding.sort == sort for finding in self.findings)

    def summary(self) -> str:
        """The figures in one line."""
        kinds = Counter(cycle.kind for cycle in self.cycles)
        killed = ", ".join(f"{kinds[kind]} {kind}" for kind in kills.KINDS if kinds[kind])
        return (
            f"{len(self.cycles)} cycles ({killed}), {self.counts['ok']} acknowledged, "
            f"{self.counts['refused']} refused, {self.counts['replays']} replays, "
            f"min in flight {min(c.in_flight for c in self.cycles)}, "
            f"min acknowledged since last kill {min(c.acknowledged for c in self.cycles)}, "
            f"{self.found('lost')} lost, {self.found('twice')} applied twice, "
            f"{self.found('breach')} breaches, "
            f"median recovery {median(c.recovery_s for c in self.cycles):.2f} s"
        )


class Plan(Struct, frozen=True):
    """What to do: how many cycles, from which seed, killing what."""

    cycles: int
    seed: str
    kinds: tuple[Kind, ...] = kills.KINDS
    until_found: bool = False  # a negative control: end with the first finding
    say: Say = print


async def run(data_dir: Path, settings: Mapping[str, str], plan: Plan) -> Report:
    """Start a service in `data_dir`, kill it `plan.cycles` times, stop it."""
    server = await asyncio.to_thread(servers.start, data_dir, None, settings)
    target = Target.of(server, settings)
    report = Report()
    try:
        await _rounds(target, plan, report)
    finally:
        await asyncio.to_thread(servers.stop, target.server)
        report.starts = target.starts
    return report


async def _rounds(target: Target, plan: Plan, report: Report) -> None:
    rng, seals = random.Random(plan.seed), dict[str, str]()
    while len(report.cycles) < plan.cycles:
        name = f"{plan.seed}-{len(seals)}"
        crew = await make_crew(target, name)
        try:
            await _round(target, crew, rng, plan, report)
        finally:
            await crew.leave()
            report.counts += crew.counts
        if plan.until_found and report.findings:
            return
        merchant_id = crew.shop.merchant_id
        seals[merchant_id] = await tables.seal(target.postgres.owner_dsn, merchant_id)
    for merchant_id, seal in seals.items():
        if await tables.seal(target.postgres.owner_dsn, merchant_id) != seal:
            report.findings.append(Finding("lost", merchant_id, "its keys changed after its round"))
    verified = await invariants.verify(target.postgres.owner_dsn)
    report.findings += map(_finding, verified.breaches)


async def make_crew(target: Target, name: str) -> Crew:
    """A merchant of its own with tills and stocked cards."""

    def client_of(token: str) -> Client:
        return Client(target.server.host, target.server.port, token)

    made = await tenants.make(target.postgres.app_dsn, client_of, stores_count=STORES)
    shop = Shop(
        made.merchant_id, made.template_id, made.store_ids, made.pos_keys, made.merchant_key
    )
    crew = Crew(target.server, shop, TILLS, name)
    await crew.stock(CARDS)
    return crew


async def _round(
    target: Target, crew: Crew, rng: random.Random, plan: Plan, report: Report
) -> None:
    secret = bytes.fromhex((target.server.data_dir / "secret_key").read_text("ascii"))
    keys = door.Keys.of(secret)
    reader = Reader(target.server, crew.shop.merchant_id, crew.shop.merchant_key)
    reader.start()
    acknowledged = crew.counts["ok"]
    for _ in range(min(ROUND_CYCLES, plan.cycles - len(report.cycles))):
        kind = _next_kind(rng, plan, report)
        cycle, acknowledged = await _cycle(target, crew, rng, kind, acknowledged)
        merchant_id, dsn = crew.shop.merchant_id, target.postgres.owner_dsn
        state = await tables.read(dsn, merchant_id)
        journal, reads = crew.journal(), crew.reads()
        found = crew.findings + checker.check(
            journal, reads, state, lambda key: door.key_hash(keys, key)
        )
        crew.findings = []
        report.cycles.append(cycle)
        report.findings += found
        plan.say(_line(len(report.cycles), cycle, len(journal), found))
        if plan.until_found and found:
            await reader.stop()
            return
    await crew.replay_sample()
    await reader.finish(target.postgres.owner_dsn)
    report.findings += crew.findings + reader.findings
    verified = await invariants.verify(target.postgres.owner_dsn, [crew.shop.merchant_id])
    report.findings += map(_finding, verified.breaches)


def _next_kind(rng: random.Random, plan: Plan, report: Report) -> Kind:
    """At random, but every kind once before any comes again, so that a short run kills each."""
    recent = len(report.cycles) % len(plan.kinds)
    drawn = [cycle.kind for cycle in report.cycles[len(report.cycles) - recent :]]
    return rng.choice([kind for kind in plan.kinds if kind not in drawn])


async def _cycle(
    target: Target, crew: Crew, rng: random.Random, kind: Kind, before: int
) -> tuple[Cycle, int]:
    """The cycle, and the count of acknowledgements at its kill. At the end the crew is at rest."""
    crew.work()
    deadline = time.monotonic() + LOAD_DEADLINE_S
    while crew.counts["ok"] - before < ACKNOWLEDGED_MIN:
        await _load(crew, deadline)
    while True:
        pid = await kills.victim(target, kind, rng)
        tree = kills.tree_of(target.server.process.pid)
        # Looking at processes held the crew up: let it go on, and strike at any moment of a batch.
        await asyncio.sleep(rng.uniform(JITTER_S / 5, JITTER_S))
        while crew.in_flight < IN_FLIGHT_MIN:
            await _load(crew, deadline)
        in_flight, at_kill, unanswered = crew.in_flight, crew.counts["ok"], _unanswered(crew)
        killed_at = time.monotonic()
        if kills.kill(pid):
            break
    await kills.recover(target, kind, pid, tree)
    recovery_s = time.monotonic() - killed_at
    await crew.rest()
    lost = _unanswered(crew) - unanswered
    return Cycle(kind, in_flight, at_kill - before, lost, recovery_s), at_kill


async def _load(crew: Crew, deadline: float) -> None:
    crew.require_running()
    if time.monotonic() > deadline:
        raise TimeoutError(f"too little load after {LOAD_DEADLINE_S} s: {dict(crew.counts)}")
    await asyncio.sleep(0.002)


def _unanswered(crew: Crew) -> int:
    definite = ("ok", "refused", "blocked", "odd", "replays")
    return sum(count for name, count in crew.counts.items() if name not in definite)


def _finding(breach: invariants.Breach) -> Finding:
    return Finding("breach", breach.subject, f"{breach.invariant}: {breach.detail}")


def _line(number: int, cycle: Cycle, answers: int, found: list[Finding]) -> str:
    return (
        f"{number:4} {cycle.kind:8} in flight {cycle.in_flight:2}, "
        f"acknowledged {cycle.acknowledged:4}, unanswered {cycle.unanswered:4}, "
        f"recovery {cycle.recovery_s:5.2f} s, {answers:6} answers checked, {len(found)} findings"
    )
