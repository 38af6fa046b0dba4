"""A desk with an unreliable line: every request ends in an answer, whatever happens meanwhile."""

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

from msgspec import Struct

from tests.demo import answers
from tests.demo.messages import Intent, Line, Mishap, Op, Setup, Visit, encode
from tests.harness.client import Client, Response

TIMEOUT_S = 10.0
TRIES_MAX = 20
LOST = (OSError, EOFError)  # a time-out and a half-read answer are among them


class Ask(Struct, frozen=True):
    """A request as a client means it; with a key it is sent again until it is answered."""

    kind: str
    path: str
    body: Any = None
    key: str | None = None


class Desk(Struct):
    """One person at work: a line, a second one for double taps, and the visit under way."""

    setup: Setup
    line: Client
    second: Client
    visit: Visit


class Trail(Struct):
    """What it took, and what went wrong on purpose."""

    fate: str = "none"
    became: str = ""
    sent: int = 0
    drops: int = 0
    replayed: int = 0
    latency_ms: float = 0.0
    contradicted: bool = False


def desk(setup: Setup) -> Desk:
    """A desk; its lines open when first used."""
    lines = [Client(setup.host, setup.port, setup.token, TIMEOUT_S) for _ in range(2)]
    return Desk(setup, lines[0], lines[1], Visit(0, 0, 0.0, "", 0))


def report(line: Line) -> None:
    """Tell the parent."""
    sys.stdout.buffer.write(encode(line) + b"\n")
    sys.stdout.buffer.flush()


def note(what: Ask, waits: bool = True) -> None:
    """Into the journal, before anything is sent."""
    assert what.key is not None
    report(Intent(what.key, what.kind, what.path, what.body, waits))


async def ask(at: Desk, what: Ask, mishap: Mishap = "none", fate: str = "") -> Response:
    """Ask until answered, through its mishap; tell the parent what came of it."""
    if what.key is not None:
        note(what)
    trail = Trail(fate or mishap)
    answer = None
    if mishap == "double_tap":
        answer = await _double_tap(at, what, trail)
    elif mishap != "none":
        answer = await _cut(at, what, mishap, trail)
    if answer is None or _again(answer):
        answer = await _until_answered(at, what, trail)
    settle(at, what, answer.status, answer.json(), answers.codes(answer), trail)
    return answer


def settle(
    at: Desk, what: Ask, status: int, body: Any, codes: list[str], trail: Trail | None = None
) -> None:
    """Tell the parent how a request ended."""
    trail = trail or Trail()
    done = status < 400
    entries = answers.ENTRIES.get(what.kind) if done else None
    sold = done and what.kind == "redeem"
    report(
        Op(
            kind=what.kind,
            place=at.setup.place,
            status=status,
            latency_ms=trail.latency_ms,
            codes=codes,
            entries=entries(body) if entries else [],
            sent=trail.sent,
            drops=trail.drops,
            replayed=trail.replayed,
            late_night=sold and answers.late_night(body),
            contradicted=trail.contradicted,
            key=what.key or "",
            fate=trail.fate,
            became=trail.became or _became(body, done, trail),
            goods=answers.goods(body) if sold else {},
        )
    )


def _became(body: Any, done: bool, trail: Trail) -> str:
    if not done:
        return "refused"
    if "outcome" in body:
        return str(body["outcome"])
    return "replayed" if trail.replayed else "done"


async def send_and_vanish(at: Desk, what: Ask, arrives: bool) -> None:
    """Send and never wait for the answer; `arrives` false: the line was down before."""
    note(what, waits=False)
    trail = Trail(sent=int(arrives), drops=1)
    if arrives:
        with contextlib.suppress(*LOST):
            await send(at.line, what)
    at.line.drop()
    assert what.key is not None
    report(Op("given_up", at.setup.place, 0, 0.0, sent=trail.sent, drops=trail.drops, key=what.key))


async def _until_answered(at: Desk, what: Ask, trail: Trail) -> Response:
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


async def _once(line: Client, what: Ask, trail: Trail) -> Response:
    trail.sent += 1
    started = time.perf_counter()
    if what.body is None:
        answer = await line.get(what.path)
    else:
        answer = await line.post(what.path, what.body, what.key)
    trail.latency_ms = (time.perf_counter() - started) * 1000
    trail.replayed += int(answer.headers.get("idempotent-replayed") == "true")
    return answer


async def _double_tap(at: Desk, what: Ask, trail: Trail) -> Response | None:
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


async def _cut(at: Desk, what: Ask, mishap: Mishap, trail: Trail) -> Response | None:
    """Send and cut the line: at once, or a moment later, when an answer may have made it."""
    trail.sent += 1
    started = time.perf_counter()
    try:
        await send(at.line, what)
        if mishap == "late":
            async with asyncio.timeout(at.visit.late_s):
                answer = await at.line.receive()
            trail.latency_ms = (time.perf_counter() - started) * 1000
            return answer
    except LOST:
        pass
    at.line.drop()
    trail.drops += 1
    return None


async def send(line: Client, what: Ask) -> None:
    """Only send."""
    headers = {"Content-Type": "application/json"}
    if what.key is not None:
        headers["Idempotency-Key"] = what.key
    await line.send("POST", what.path, json.dumps(what.body).encode("utf-8"), headers)


def _again(answer: Response) -> bool:
    """Whether the answer says: the same once more."""
    if answer.status == 503:
        return True
    return answer.status == 409 and answer.json()["code"] == "request_in_progress"
