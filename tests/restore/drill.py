"""The drill: a service under load with an archive, a backup meanwhile, marks at random instants.

Then, for each mark, what an operator does after the machine is lost: an empty folder, the backup,
the archive and the secret; `restore`, `verify`, `run`. The machine's own folder is gone by then.
"""

import asyncio
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from service.kernel import embedded_backup
from service.ledger import door
from tests.crash import tables
from tests.crash.checker import HashOf
from tests.crash.crew import Crew
from tests.crash.intents import Till
from tests.crash.journal import Entry, Finding
from tests.crash.kills import Target
from tests.crash.run import make_crew
from tests.crash.tables import Tables
from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import Server
from tests.restore import marks
from tests.restore.marks import Mark

BETWEEN_S = (0.2, 1.5)
ASKED = 2  # by each till after a restore: of what was kept, and of what was lost

Say = Callable[[str], None]


class Plan(Struct, frozen=True):
    """How many points, and from which seed they and the load are drawn."""

    points: int
    seed: str
    say: Say = print


class Point(Struct, frozen=True):
    """One restore: what it owed, and what was found in it."""

    mark: Mark
    answered: int
    under_way: int
    later: int
    took_s: float
    tables: Tables
    findings: list[Finding]


class Run(Struct):
    """The load that was, and every point in it."""

    merchant_id: str
    tills: list[Till]
    hash_of: HashOf
    points: list[Point] = field(default_factory=list)

    @property
    def journal(self) -> list[Entry]:
        """Everything sent with a key."""
        return [entry for till in self.tills for entry in till.journal]

    @property
    def reads(self) -> list[Entry]:
        """Every look at a card."""
        return [entry for till in self.tills for entry in till.reads]

    @property
    def findings(self) -> list[Finding]:
        """Of all points."""
        return [finding for point in self.points for finding in point.findings]

    def summary(self) -> str:
        """The figures in one line."""
        points = self.points
        return (
            f"{len(points)} points, {len(self.journal)} requests; before a point "
            f"{min(p.answered for p in points)} to {max(p.answered for p in points)} answered, "
            f"{sum(p.answered for p in points)} in all, after it "
            f"{sum(p.later for p in points)}, under way {sum(p.under_way for p in points)}; "
            f"{len(self.findings)} findings; a restore took "
            f"{max(p.took_s for p in points):.1f} s at most"
        )


# Files of the data folder that are in no backup of the database.
KEPT = ("secret_key", "keks", "person_keys.db")


class Saved(Struct, frozen=True):
    """What is left of the machine: the backup, the archive, and what is kept elsewhere."""

    backup: Path
    archive: Path
    kept: dict[str, bytes]


async def run(folder: Path, plan: Plan) -> Run:
    """The load once, then every point."""
    saved, load, taken = await _load(folder, plan)
    for number, mark in enumerate(taken, 1):
        data_dir = folder / f"restored-{number}"
        data_dir.mkdir()
        point = await _point(data_dir, saved, load, mark)
        shutil.rmtree(data_dir)
        load.points.append(point)
        plan.say(
            f"{number:3} to {mark.at:%H:%M:%S.%f}: {point.answered} answered before, "
            f"{point.under_way} under way, {point.later} after, restored in {point.took_s:.1f} s, "
            f"{len(point.findings)} findings"
        )
    return load


async def _load(folder: Path, plan: Plan) -> tuple[Saved, Run, list[Mark]]:
    """Work, back up while it goes on, mark instants; then nothing but the saved is left."""
    data_dir, archive = folder / "data", folder / "archive"
    data_dir.mkdir()
    settings = {"KAFANG_ARCHIVE_DIR": str(archive)}
    server = await asyncio.to_thread(servers.start, data_dir, None, settings)
    crew = None
    try:
        crew = await make_crew(Target.of(server, settings), plan.seed)
        crew.work()
        made = await _command(data_dir, "backup", str(folder / "backup"))
        assert made["archive"], made
        taken = await _marks(crew, plan)
        await crew.rest()
        await asyncio.to_thread(embedded_backup.fill_archive, server.postgres)
    finally:
        if crew is not None:
            await crew.leave()
        await asyncio.to_thread(servers.stop, server)
    assert crew.findings == []
    kept = {name: (data_dir / name).read_bytes() for name in KEPT}
    saved = Saved(folder / "backup", archive, kept)
    shutil.rmtree(data_dir)
    keys = door.Keys.of(bytes.fromhex(saved.kept["secret_key"].decode()))
    load = Run(crew.shop.merchant_id, crew.tills, lambda key: door.key_hash(keys, key))
    return saved, load, taken


async def _marks(crew: Crew, plan: Plan) -> list[Mark]:
    """Random instants, with work before, between and after them."""
    rng, taken = random.Random(plan.seed), list[Mark]()
    while len(taken) < plan.points:
        answered = crew.counts["ok"]
        await asyncio.sleep(rng.uniform(*BETWEEN_S))
        if crew.counts["ok"] > answered:
            taken.append(Mark.now())
        crew.require_running()
    answered = crew.counts["ok"]
    async with asyncio.timeout(30):
        while crew.counts["ok"] < answered + 100:
            await asyncio.sleep(0.01)
            crew.require_running()
    return taken


async def _point(data_dir: Path, saved: Saved, load: Run, mark: Mark) -> Point:
    """Restore to a mark, verify, look, serve."""
    for name, content in saved.kept.items():
        (data_dir / name).write_bytes(content)
    began = time.monotonic()
    where = ("--to", mark.at.isoformat(), "--archive", str(saved.archive))
    await _command(data_dir, "restore", str(saved.backup), *where)
    took_s = time.monotonic() - began
    verified = await _command(data_dir, "verify")
    findings = [Finding("breach", b["subject"], b["detail"]) for b in verified["breaches"]]
    parts = marks.split(load.journal, mark)
    server = await asyncio.to_thread(servers.start, data_dir)
    try:
        state = await tables.read(server.postgres.owner_dsn, load.merchant_id)
        findings += marks.check(load.journal, load.reads, state, load.hash_of, mark)
        for till in load.tills:
            findings += await _again(server, till, mark)
    finally:
        await asyncio.to_thread(servers.stop, server)
    figures = (len(parts.answered), len(parts.under_way), len(parts.later))
    return Point(mark, *figures, took_s, state, findings)


async def _again(server: Server, till: Till, mark: Mark) -> list[Finding]:
    """A till asks again: what the restore kept is replayed to the byte, what it lost is new."""
    parts = marks.split(till.journal, mark)
    kept = [e for e in parts.answered if e.outcome in ("ok", "refused")]
    # Not a blocked one: the reversal that came before it may have been kept.
    lost = [e for e in parts.later if e.kind == "redeem" and e.outcome == "ok"]
    found, asked_late = [], {entry.key for entry in lost}
    async with Client(server.host, server.port, till.token) as line:
        for entry in (*till.rng.sample(kept, min(ASKED, len(kept))), *lost[:ASKED]):
            answer = await line.post(entry.path, entry.body, entry.key)
            replayed = answer.headers.get("idempotent-replayed") == "true"
            same = (answer.status, answer.body) == (entry.status, entry.answer)
            if replayed == (entry.key in asked_late) or (replayed and not same):
                detail = f"asked again: replayed {replayed}, {answer.status} {answer.body!r}"
                found.append(Finding("breach", f"{entry.kind} {entry.key}", detail))
    return found


async def _command(data_dir: Path, *arguments: str) -> Any:
    """What a command of the service printed; RuntimeError when it failed."""
    port = servers.free_port()
    done = await asyncio.to_thread(servers.command, data_dir, port, *arguments, "--json")
    if not done.stdout:
        raise RuntimeError(f"{arguments[0]}: {done.stderr}")
    return json.loads(done.stdout)
