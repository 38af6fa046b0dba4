"""The processes of the demo as their parent sees them: started, told, listened to, replaced."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter

import msgspec
from msgspec import Struct, field

from tests.demo.chain import Chain
from tests.demo.messages import (
    OFFICE,
    Closed,
    Customer,
    Intent,
    Op,
    Opens,
    Ready,
    Setup,
    Took,
    decode_line,
    encode,
    role,
)
from tests.demo.plan import Plan
from tests.harness.server import ROOT, Server

READY_S = 60.0


class Crew(Struct):
    """The processes by place, and everything they reported.

    `journal`: what each has begun and not ended; `taken`: the visits it began; `closed`: the
    chapters it is through with; `exits`: how it ended, `deaths`: which one was killed, by plan.
    """

    plan: Plan
    chain: Chain
    server: Server
    processes: dict[int, Process] = field(default_factory=dict)
    journal: dict[int, dict[str, Intent]] = field(default_factory=dict)
    taken: dict[int, list[int]] = field(default_factory=dict)
    closed: dict[int, int] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    # The chapter that is open, since when, and the time on the merchant's clock.
    chapter: Opens | None = None
    since: float = 0.0
    minute: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def places(self) -> tuple[int, ...]:
        """The mini-program and the tills."""
        return (OFFICE, *range(len(self.chain.stores)))


async def start(crew: Crew) -> None:
    """Start all; the story begins when everybody is there."""
    async with asyncio.TaskGroup() as group:
        for place in crew.places:
            crew.journal[place], crew.taken[place], crew.closed[place] = {}, [], -1
            group.create_task(_start(crew, place))


async def _start(crew: Crew, place: int) -> None:
    module = (
        ["tests.demo.mini_program"]
        if place == OFFICE
        else ["tests.demo.till", "--store", str(place)]
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    try:
        await _ready(process, role(place))
    except BaseException:
        process.kill()
        raise
    # All at once, so that nobody joins between what it is told here and what it is told later.
    crew.processes[place] = process
    for line in (_setup(crew, place), *crew.customers, *_open_since(crew)):
        _tell(process, encode(line))


async def _ready(process: Process, name: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(READY_S):
        if not isinstance(decode_line(await process.stdout.readline()), Ready):
            raise RuntimeError(f"{name} did not say that it is ready")


def _open_since(crew: Crew) -> list[Opens]:
    """How far the chapter is, for a process that comes late."""
    if crew.chapter is None:
        return []
    elapsed_s = time.monotonic() - crew.since
    return [msgspec.structs.replace(crew.chapter, elapsed_s=elapsed_s)]


def _setup(crew: Crew, place: int) -> Setup:
    """Everything for a process that starts; what is begun already is not begun again."""
    chain = crew.chain
    begun = set(crew.taken[place])
    return Setup(
        host=crew.server.host,
        port=crew.server.port,
        token=chain.office_key if place == OFFICE else chain.till_keys[place],
        place=place,
        stores=chain.stores,
        templates=chain.templates,
        visits=[
            one
            if one.number not in begun
            # Past: known, as its sale may come back, but in no chapter any more.
            else msgspec.structs.replace(one, chapter=-1)
            for one in crew.plan.visits[place]
        ],
        unanswered=list(crew.journal[place].values()),
    )


def open_chapter(crew: Crew, number: int, seconds: float) -> None:
    """Tell everybody."""
    crew.chapter, crew.since = Opens(number, seconds), time.monotonic()
    for process in crew.processes.values():
        _tell(process, encode(crew.chapter))


async def through(crew: Crew, number: int) -> None:
    """Wait until everybody is through with a chapter. Raises RuntimeError when somebody is gone."""
    while any(closed < number for closed in crew.closed.values()):
        if crew.exits:
            raise RuntimeError(f"gone before closing time: {crew.exits}")
        crew.news.clear()
        await crew.news.wait()


async def follow(crew: Crew, place: int) -> None:
    """Everything a place reports, until it closes; a till that is killed by plan is replaced."""
    while True:
        process = crew.processes[place]
        await _read(crew, place, process)
        code = await process.wait()
        if code != -signal.SIGKILL or place != crew.plan.dies or crew.deaths:
            crew.exits[role(place)] = code
            crew.news.set()
            return
        crew.deaths.append(role(place))
        await _start(crew, place)


async def _read(crew: Crew, place: int, process: Process) -> None:
    assert process.stdout is not None
    while raw := await process.stdout.readline():
        match decode_line(raw):
            case Took(number):
                crew.taken[place].append(number)
            case Intent() as intent:
                crew.journal[place][intent.key] = intent
            case Op() as op:
                crew.journal[place].pop(op.key, None)
                crew.ops.append(msgspec.structs.replace(op, minute=crew.minute))
                crew.kinds[op.kind] += 1
            case Customer() as customer:
                crew.customers.append(customer)
                for till in range(len(crew.chain.stores)):
                    _tell(crew.processes[till], encode(customer))
            case Closed(chapter):
                crew.closed[place] = chapter
                crew.news.set()


def _tell(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    if not process.stdin.is_closing():
        process.stdin.write(line + b"\n")


def close(crew: Crew) -> None:
    """Closing time: each process ends."""
    for process in crew.processes.values():
        assert process.stdin is not None
        process.stdin.close()


async def end(crew: Crew) -> None:
    """Whoever is still there must go."""
    for process in crew.processes.values():
        if process.returncode is None:
            process.kill()
            await process.wait()
