"""The crew: many tills at work at once, each with its own connections and journal.

A till that gets no answer behaves as the contract says: it sends the same request with the same
key until the answer is definite, or gives the sale up by reversing its key and then checks which it
was.
"""

import asyncio
import json
import random
import time
from collections import Counter

from msgspec.structs import replace

from tests.crash import intents
from tests.crash.intents import Shop, Till
from tests.crash.journal import Entry, Finding, outcome_of
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import TestCard

ANSWER_TIMEOUT_S = 20.0
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 0.5
REST_DEADLINE_S = 90.0
GIVES_UP = 0.2  # share of lost redemptions that are reversed instead of sent again
FIRST_CREDIT = 1_000_000  # minor units; far more than a round redeems
TRANSPORT = (OSError, EOFError, TimeoutError)


class Crew:
    """The tills of one merchant. `counts` holds figures since the start of the crew."""

    def __init__(self, server: Server, shop: Shop, tills: int, seed: str) -> None:
        self.shop = shop
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.in_flight = 0
        self._working = 0
        self._gate = asyncio.Event()
        self._host, self._port = server.host, server.port
        self.tills = [self._till(number, seed) for number in range(tills)]
        self._lines = [(self._client(till), self._client(till)) for till in self.tills]
        self._tasks: list[asyncio.Task[None]] = []

    def _till(self, number: int, seed: str) -> Till:
        shop, of_till = self.shop, number % 2 == 0
        store = number // 2 % len(shop.store_ids)
        token = shop.pos_keys[store] if of_till else shop.merchant_key
        rng = random.Random(f"{seed}-{number}")
        name = f"{seed}-{number:02d}"
        return Till(name, shop.store_ids[store], token, not of_till, rng, shop)

    def _client(self, till: Till) -> Client:
        return Client(self._host, self._port, till.token, ANSWER_TIMEOUT_S)

    def journal(self) -> list[Entry]:
        """Everything sent with a key."""
        return [entry for till in self.tills for entry in till.journal]

    def reads(self) -> list[Entry]:
        """Every look at a card."""
        return [entry for till in self.tills for entry in till.reads]

    async def stock(self, cards: int) -> None:
        """Issue the cards and put money on them; each is in the journals like all else."""
        share = -(-cards // len(self.tills))
        jobs = zip(self.tills, self._lines, strict=True)
        await asyncio.gather(*(self._stock(till, lines[0], share) for till, lines in jobs))

    async def _stock(self, till: Till, line: Client, cards: int) -> None:
        for _ in range(cards):
            issued = await self._settled(till, line, intents.make(till, "issue"))
            said = json.loads(issued.answer)
            card = TestCard(said["id"], said["card_number"])
            await self._settled(till, line, intents.credit(till, card.card_id, FIRST_CREDIT))
            self.shop.cards.append(card)

    def work(self) -> None:
        """Begin, or go on after a rest; on fresh connections, so that all workers get a share."""
        for lines in self._lines:
            for line in lines:
                line.drop()
        self._gate.set()
        if not self._tasks:
            jobs = zip(self.tills, self._lines, strict=True)
            self._tasks = [asyncio.create_task(self._run(till, lines)) for till, lines in jobs]

    async def rest(self) -> None:
        """No new intents; return when every request under way has its definite answer."""
        self._gate.clear()
        deadline = time.monotonic() + REST_DEADLINE_S
        while self._working and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
            self.require_running()
        if self._working:
            detail = f"{self._working} requests without definite answer after {REST_DEADLINE_S} s"
            raise RuntimeError(detail)

    def require_running(self) -> None:
        """Raise what ended a till: a till never ends by itself."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def leave(self) -> None:
        """End all tills."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lines in self._lines:
            for line in lines:
                line.drop()

    async def _run(self, till: Till, lines: tuple[Client, Client]) -> None:
        while True:
            await self._gate.wait()
            self._working += 1
            try:
                await self._intent(till, lines, intents.choose(till))
            finally:
                self._working -= 1

    async def _intent(self, till: Till, lines: tuple[Client, Client], kind: str) -> None:
        if kind == "again":
            await self._again(till, lines[0])
        elif kind == "twin":
            await self._twin(till, lines)
        elif kind == "late":
            await self._late(till, lines[0])
        elif kind == "redeem":
            await self._redeem(till, lines[0])
        elif kind == "read":
            entry = intents.make(till, "read")
            till.reads.append(entry)
            await self._until_definite(lines[0], entry)
        else:
            await self._settled(till, lines[0], intents.make(till, kind))

    async def _redeem(self, till: Till, line: Client) -> None:
        entry = intents.make(till, "redeem")
        till.journal.append(entry)
        entry.invoked_at = time.monotonic()
        if await self._attempt(line, entry):
            return
        if till.rng.random() < GIVES_UP:
            undo = await self._settled(till, line, intents.reverse(till, entry))
            await self._until_definite(line, entry)
            self._require_undone(undo, entry)
        else:
            await self._until_definite(line, entry)

    async def _late(self, till: Till, line: Client) -> None:
        """A reversal overtakes its request."""
        entry = intents.make(till, "redeem")
        undo = await self._settled(till, line, intents.reverse(till, entry))
        await self._settled(till, line, entry)
        self._require_undone(undo, entry)

    def _require_undone(self, undo: Entry, entry: Entry) -> None:
        """The two answers tell one story (decisions: undo by key)."""
        said = json.loads(undo.answer).get("outcome")
        expected = {"reversed": "ok", "blocked": "blocked", "nothing_to_reverse": "refused"}
        if expected.get(said) != entry.outcome:
            self._breach(entry, f"reversal {undo.key} said {said}, the request {entry.outcome}")

    async def _again(self, till: Till, line: Client) -> None:
        """A replay is byte-identical (INV-H7)."""
        entry = till.rng.choice(till.journal)
        if entry.outcome in ("ok", "refused"):
            await self._replay(line, entry)

    async def replay_sample(self) -> None:
        """At rest: every till sends one of its keys again."""
        jobs = zip(self.tills, self._lines, strict=True)
        await asyncio.gather(*(self._again(till, lines[0]) for till, lines in jobs))

    async def _replay(self, line: Client, entry: Entry) -> None:
        copy = replace(entry, again=True)
        await self._until_definite(line, copy)
        self.counts["replays"] += 1
        self._require_equal(entry, copy)

    async def _twin(self, till: Till, lines: tuple[Client, Client]) -> None:
        entry = intents.make(till, "redeem")
        till.journal.append(entry)
        copy = replace(entry, again=True)
        await asyncio.gather(
            self._until_definite(lines[0], entry), self._until_definite(lines[1], copy)
        )
        entry.returned_at = min(entry.returned_at, copy.returned_at)
        self._require_equal(entry, copy)

    def _require_equal(self, entry: Entry, copy: Entry) -> None:
        if (entry.status, entry.answer) != (copy.status, copy.answer):
            self._breach(entry, f"answered {entry.answer!r} and {copy.answer!r}")

    async def _settled(self, till: Till, line: Client, entry: Entry) -> Entry:
        till.journal.append(entry)
        await self._until_definite(line, entry)
        return entry

    async def _until_definite(self, line: Client, entry: Entry) -> None:
        entry.invoked_at = entry.invoked_at or time.monotonic()
        pause_s = PAUSE_MIN_S
        while not await self._attempt(line, entry):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _attempt(self, line: Client, entry: Entry) -> bool:
        """Send once; true when the answer is definite."""
        self.in_flight += 1
        try:
            answer = await _send(line, entry)
        except TRANSPORT:
            self.counts["no answer"] += 1
            return False
        finally:
            self.in_flight -= 1
        outcome = outcome_of(answer)
        if outcome == "unknown":
            self.counts[f"{answer.status} {json.loads(answer.body)['code']}"] += 1
            return False
        entry.settle(answer, outcome, time.monotonic())
        if entry.key and not entry.again:
            self.counts[outcome] += 1
        if outcome == "odd":
            self._breach(entry, f"answered {answer.body!r}")
        return True

    def _breach(self, entry: Entry, detail: str) -> None:
        self.findings.append(Finding("breach", f"{entry.kind} {entry.key}", detail))


async def _send(line: Client, entry: Entry) -> Response:
    if entry.kind == "read":
        return await line.get(entry.path)
    return await line.post(entry.path, entry.body, entry.key)
