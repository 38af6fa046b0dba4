"""A desk with an unreliable line: every request ends in an answer, whatever happens meanwhile."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any, Literal

from msgspec import Struct

from tests.demo.messages import Entry, Line, Op, Setup, encode
from tests.harness.client import Client, Response

# cut: the line goes down right after sending. late: a moment later, maybe after the answer.
# double_tap: sent twice at once, over two lines.
Mishap = Literal["none", "cut", "late", "double_tap"]
MISHAPS: dict[Mishap, int] = {"none": 88, "cut": 4, "late": 4, "double_tap": 4}
TIMEOUT_S = 10.0
TRIES_MAX = 20
LOST = (OSError, EOFError)  # a time-out and a half-read answer are among them
Entries = Callable[[Any], list[Entry]]


class Ask(Struct, frozen=True):
    """A request as a client means it; with a key it is sent again until it is answered."""

    kind: str
    path: str
    body: Any = None
    key: str | None = None
    # What a success moved, from its answer.
    entries: Entries = lambda _answer: []
    # When a success was booked: whether it counts for the day before.
    late_night: Callable[[Any], bool] = lambda _answer: False


class Desk(Struct):
    """One person at work: a line, a second one for double taps, and luck of the visit's own."""

    setup: Setup
    line: Client
    second: Client
    luck: Random


class _Trail(Struct):
    """What it took."""

    sent: int = 0
    drops: int = 0
    replayed: int = 0
    latency_ms: float = 0.0
    contradicted: bool = False


def desk(setup: Setup) -> Desk:
    """A desk; its lines open when first used."""
    lines = [Client(setup.host, setup.port, setup.token, TIMEOUT_S) for _ in range(2)]
    return Desk(setup, lines[0], lines[1], Random(0))


def mishap(luck: Random) -> Mishap:
    """What goes wrong this time: mostly nothing."""
    return luck.choices(list(MISHAPS), list(MISHAPS.values()))[0]


def report(line: Line) -> None:
    """Tell the parent."""
    sys.stdout.buffer.write(encode(line) + b"\n")
    sys.stdout.buffer.flush()


def codes(answer: Response) -> list[str]:
    """Why an answer is no success: the reasons, or the problem itself when it has none."""
    if answer.status < 400:
        return []
    problem = answer.json()
    return [reason["code"] for reason in problem["reasons"]] or [problem["code"]]


def by_account(flow: str, operation_id: str, allocations: list[dict[str, Any]]) -> Entry:
    """Allocations of an answer, summed per account."""
    sums = {"principal": 0, "bonus": 0}
    for part in allocations:
        sums[part["account"]] += part["value"]
    return Entry(flow, operation_id, sums["principal"], sums["bonus"])


async def ask(at: Desk, what: Ask, fate: Mishap = "none") -> Response:
    """Ask until answered, through its mishap; tell the parent what came of it."""
    trail = _Trail()
    answer = None
    if fate == "double_tap":
        answer = await _double_tap(at, what, trail)
    elif fate != "none":
        answer = await _cut(at, what, fate, trail)
    if answer is None or _again(answer):
        answer = await _until_answered(at, what, trail)
    settle(at, what, answer, trail)
    return answer


def settle(at: Desk, what: Ask, answer: Response, trail: _Trail | None = None) -> None:
    """Tell the parent how a request ended."""
    trail = trail or _Trail()
    done = answer.status < 400
    body = answer.json()
    report(
        Op(
            kind=what.kind,
            place=at.setup.place,
            status=answer.status,
            latency_ms=trail.latency_ms,
            codes=codes(answer),
            entries=what.entries(body) if done else [],
            sent=trail.sent,
            drops=trail.drops,
            replayed=trail.replayed,
            late_night=done and what.late_night(body),
            contradicted=trail.contradicted,
        )
    )


async def send_and_vanish(at: Desk, what: Ask, arrives: bool) -> None:
    """Send and never wait for the answer; `arrives` false: the line was down before."""
    trail = _Trail(sent=int(arrives), drops=1)
    if arrives:
        with contextlib.suppress(*LOST):
            await _send(at.line, what)
    at.line.drop()
    report(Op("given_up", at.setup.place, 0, 0.0, sent=trail.sent, drops=trail.drops))


async def _until_answered(at: Desk, what: Ask, trail: _Trail) -> Response:
    for attempt in range(TRIES_MAX):
        try:
            answer = await _once(at.line, what, trail)
        except LOST:
            trail.drops += 1
        else:
            if not _again(answer):
                return answer
        await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
    raise RuntimeError(f"{at.setup.role}: no answer to {what.key or what.path} after {TRIES_MAX}")


async def _once(line: Client, what: Ask, trail: _Trail) -> Response:
    trail.sent += 1
    started = time.perf_counter()
    if what.body is None:
        answer = await line.get(what.path)
    else:
        answer = await line.post(what.path, what.body, what.key)
    trail.latency_ms = (time.perf_counter() - started) * 1000
    trail.replayed += int(answer.headers.get("idempotent-replayed") == "true")
    return answer


async def _double_tap(at: Desk, what: Ask, trail: _Trail) -> Response | None:
    """The same key twice at once: both must be told the same."""
    taps = (_once(at.line, what, trail), _once(at.second, what, trail))
    told = await asyncio.gather(*taps, return_exceptions=True)
    answers = [one for one in told if isinstance(one, Response)]
    trail.drops += len(told) - len(answers)
    if any(not isinstance(one, Response | OSError | EOFError) for one in told):
        raise RuntimeError(f"{at.setup.role}: a double tap ended in {told}")
    final = [one for one in answers if not _again(one)]
    trail.contradicted = any(
        (one.status, one.body) != (final[0].status, final[0].body) for one in final
    )
    return final[0] if final else None


async def _cut(at: Desk, what: Ask, fate: Mishap, trail: _Trail) -> Response | None:
    """Send and cut the line: at once, or a moment later, when an answer may have made it."""
    trail.sent += 1
    started = time.perf_counter()
    try:
        await _send(at.line, what)
        if fate == "late":
            async with asyncio.timeout(at.luck.uniform(0.001, 0.02)):
                answer = await at.line.receive()
            trail.latency_ms = (time.perf_counter() - started) * 1000
            return answer
    except LOST:
        pass
    at.line.drop()
    trail.drops += 1
    return None


async def _send(line: Client, what: Ask) -> None:
    headers = {"Content-Type": "application/json"}
    if what.key is not None:
        headers["Idempotency-Key"] = what.key
    await line.send("POST", what.path, json.dumps(what.body).encode("utf-8"), headers)


def _again(answer: Response) -> bool:
    """Whether the answer says: the same once more."""
    if answer.status == 503:
        return True
    return answer.status == 409 and answer.json()["code"] == "request_in_progress"
