"""The parent: a server, its chain, the chapters of the day, and the facts at the end."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from zoneinfo import ZoneInfo

from tests.demo import accounts, plan
from tests.demo import chain as chains
from tests.demo import crew as crews
from tests.demo.books import Facts, Played
from tests.demo.chapters import BEFORE, CHAPTERS, DAY_CLOSES, DEATH, clock
from tests.demo.crew import Crew
from tests.demo.progress import Progress
from tests.demo.wares import ZONE
from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import Server

# The merchant's clock moves in steps of so many minutes, but not more often than TICK_S.
STEP_MIN = 5
TICK_S = 0.2
# Who is not through with a chapter so long after its end never will be.
LATE_S = 300.0


def play(seconds: float, seed: int, progress: Progress) -> Facts:
    """Run the day in so many seconds on a server of its own."""
    progress.say("starting PostgreSQL and the service")
    with servers.running() as server:
        return asyncio.run(_play(server, plan.make(seed, seconds), progress))


async def _play(server: Server, decided: plan.Plan, progress: Progress) -> Facts:
    chain = await chains.set_up(server.postgres.app_dsn, server.host, server.port)
    crew = Crew(decided, chain, server)
    sale, midnight = _dates(datetime.now(UTC))
    started = time.perf_counter()
    try:
        await crews.start(crew)
        async with asyncio.TaskGroup() as group:
            for place in crew.places:
                group.create_task(crews.follow(crew, place))
            played = await _day(crew, sale, midnight, progress)
            crews.close(crew)
    finally:
        await crews.end(crew)
    seconds_run = time.perf_counter() - started
    progress.chapter(clock(DAY_CLOSES), "Books", "reports, every card, the invariants")
    return await accounts.facts(crew, played, midnight, seconds_run)


def _dates(now: datetime) -> tuple[datetime, datetime]:
    """The anniversary sale, and the midnight of the day: its bonuses end with it."""
    date = now.astimezone(ZoneInfo(ZONE)).date() + timedelta(days=1)
    sale = datetime.combine(date, clock_time(12), ZoneInfo(ZONE))
    # A year after 29 February is 28 February, and what is valid then ends with 1 March.
    day = date + timedelta(days=1) if (date.month, date.day) == (2, 29) else date
    return sale, datetime.combine(day.replace(year=date.year + 1), clock_time(), ZoneInfo(ZONE))


async def _day(crew: Crew, sale: datetime, midnight: datetime, progress: Progress) -> list[Played]:
    played = []
    async with Client(crew.server.host, crew.server.port, crew.chain.office_key) as client:
        for number, chapter in enumerate(CHAPTERS):
            at = "before" if number == BEFORE else clock(chapter.opens)
            progress.chapter(at, chapter.title, chapter.tells)
            began, before = time.perf_counter(), len(crew.ops)
            await _chapter(crew, client, sale if number == BEFORE else midnight, number)
            done = crew.ops[before:]
            progress.closed(done, crew.deaths if number == DEATH else [])
            took = time.perf_counter() - began
            played.append(Played(chapter.title, chapter.tells, at, took, len(done)))
        await _set(client, midnight + timedelta(minutes=DAY_CLOSES))
    return played


async def _chapter(crew: Crew, client: Client, start: datetime, number: int) -> None:
    """Everybody's part of it, while the merchant's clock moves from its opening to its closing."""
    chapter = CHAPTERS[number]
    length, seconds = chapter.closes - chapter.opens, chapter.share * crew.plan.seconds
    ticks = max(1, min(length // STEP_MIN, int(seconds / TICK_S)))
    async with asyncio.timeout(seconds + LATE_S):
        for tick in range(ticks):
            crew.minute = chapter.opens + length * tick // ticks
            await _set(client, start + timedelta(minutes=crew.minute))
            if not tick:
                # Only now: what belongs to a chapter happens at its time.
                crews.open_chapter(crew, number, seconds)
            until = crew.since + (tick + 1) * seconds / ticks
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        await crews.through(crew, number)


async def _set(client: Client, now: datetime) -> None:
    answer = await client.post("/v1/test-clock", {"now": now.astimezone(UTC).isoformat()})
    if answer.status != 200:
        raise RuntimeError(f"the clock did not move: {answer.body!r}")
