"""Which batch a lane takes: one of a merchant at a time, unless a second one helps."""

import asyncio
from typing import Any

import pytest

from service.kernel import coalescing
from service.kernel.coalescing import Lanes
from tests.ledger.rules import kit
from tests.ledger.rules.kit import turns

LANES, BATCH_MAX = 3, 4


@pytest.fixture(name="impatient")
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is slow at once."""
    monkeypatch.setattr(coalescing, "SLOW_S", 0.001)


class Desk:
    """Lanes whose batches end when the test says so."""

    def __init__(self) -> None:
        self.flights: dict[str, list[Any]] = {}
        self.lanes: Lanes[str, str] = Lanes(
            LANES, BATCH_MAX, 100, self._settle, lambda _member: RuntimeError("unsettled")
        )
        self._ends: dict[str, asyncio.Event] = {}
        self._asked: list[tuple[str, asyncio.Task[str]]] = []

    async def submit(self, tenant: str, *names: str) -> None:
        """Let commands arrive, each about a card of its own name (up to a dot)."""
        for name in names:
            submitted = self.lanes.submit(tenant, name.split(".")[0], name)
            self._asked.append((name, asyncio.create_task(submitted)))
        await turns(5)

    @property
    def in_flight(self) -> list[str]:
        """The batches in flight."""
        return list(self.flights)

    async def end(self, batch: str) -> None:
        """End the batch of these names."""
        self._ends[batch].set()
        await turns(5)

    async def slow(self) -> None:
        """Wait until every batch in flight is slow."""
        await kit.slow(self.lanes)
        await turns(5)

    def forget(self, name: str) -> None:
        """Nobody waits for this answer any more."""
        self._asked = [(asked, task) for asked, task in self._asked if asked != name]

    async def close(self) -> None:
        """End everything; everyone must have the answer to what was asked."""
        while self._ends:
            for batch in list(self._ends):
                await self.end(batch)
        async with asyncio.timeout(30):
            for name, task in self._asked:
                assert await task == name
            await self.lanes.close()

    async def _settle(self, _lane: int, tenant: str, members: list[Any]) -> None:
        batch = f"{tenant}: {' '.join(member.command for member in members)}"
        self.flights[batch] = members
        await self._ends.setdefault(batch, asyncio.Event()).wait()
        del self.flights[batch], self._ends[batch]
        for member in members:
            member.resolve(member.command)


async def test_what_arrives_while_a_batch_is_in_flight_is_the_next_one() -> None:
    desk = Desk()
    await desk.submit("mer_a", "a")
    await desk.submit("mer_a", "b", "c")
    assert desk.in_flight == ["mer_a: a"]
    await desk.end("mer_a: a")
    assert desk.in_flight == ["mer_a: b c"]
    await desk.close()


async def test_merchants_do_not_wait_for_each_other() -> None:
    desk = Desk()
    await desk.submit("mer_a", "a")
    await desk.submit("mer_b", "b")
    await desk.submit("mer_b", "c")
    assert desk.in_flight == ["mer_a: a", "mer_b: b"]
    await desk.close()


async def test_merchants_take_turns() -> None:
    """A merchant with more than a batch waiting goes behind the others."""
    desk = Desk()
    for tenant in ("mer_1", "mer_2", "mer_3"):
        await desk.submit(tenant, "x")
    await desk.submit("mer_a", "a", "b", "c", "d", "e", "f")
    await desk.submit("mer_b", "g")
    await desk.end("mer_1: x")
    await desk.end("mer_2: x")
    await desk.end("mer_3: x")
    assert desk.in_flight == ["mer_a: a b c d", "mer_b: g"]
    await desk.end("mer_a: a b c d")
    assert desk.in_flight == ["mer_b: g", "mer_a: e f"]
    await desk.close()


async def test_a_whole_batch_does_not_wait() -> None:
    """But what is in flight already stays out of it, and in its order."""
    desk = Desk()
    await desk.submit("mer_a", "a.1")
    await desk.submit("mer_a", "a.2", "b", "c")
    assert desk.in_flight == ["mer_a: a.1"]
    await desk.submit("mer_a", "a.3")
    assert desk.in_flight == ["mer_a: a.1", "mer_a: b c"]
    await desk.end("mer_a: a.1")
    assert desk.in_flight == ["mer_a: b c"], "two of a merchant only while a whole batch waits"
    await desk.end("mer_a: b c")
    assert desk.in_flight == ["mer_a: a.2 a.3"]
    await desk.close()


@pytest.mark.usefixtures("impatient")
async def test_nobody_waits_behind_a_slow_batch_of_another_card() -> None:
    desk = Desk()
    await desk.submit("mer_a", "a.1")
    await desk.submit("mer_a", "a.2", "b")
    await desk.slow()
    assert desk.in_flight == ["mer_a: a.1", "mer_a: b"]
    await desk.end("mer_a: b")
    assert desk.in_flight == ["mer_a: a.1"], "the same card waits"
    await desk.submit("mer_a", "c")
    assert desk.in_flight == ["mer_a: a.1", "mer_a: c"], "nor who comes later"
    await desk.close()


@pytest.mark.usefixtures("impatient")
async def test_a_card_that_was_answered_is_free_while_another_is_stuck() -> None:
    """A client that left has no answer: its card may still be written."""
    desk = Desk()
    await desk.submit("mer_a", "first")
    await desk.submit("mer_a", "done.1", "left.1", "stuck.1")
    await desk.end("mer_a: first")
    done, left, stuck = desk.flights["mer_a: done.1 left.1 stuck.1"]
    done.resolve("done.1")
    left.answer.cancel()
    desk.forget("left.1")
    await desk.submit("mer_a", "left.2", "done.2", "stuck.2")
    await desk.slow()
    assert desk.in_flight == ["mer_a: done.1 left.1 stuck.1", "mer_a: done.2"]
    assert not stuck.answer.done()
    await desk.close()


@pytest.mark.usefixtures("impatient")
async def test_one_lane_is_left_to_the_other_merchants() -> None:
    """Whatever all of one merchant's batches wait for."""
    desk = Desk()
    for name in ("a", "b", "c", "d"):
        await desk.submit("mer_a", name)
        await desk.slow()
    assert desk.in_flight == ["mer_a: a", "mer_a: b"], "three lanes, two for one merchant"
    await desk.submit("mer_b", "x")
    assert desk.in_flight == ["mer_a: a", "mer_a: b", "mer_b: x"]
    await desk.close()


async def test_what_is_queued_is_settled_before_the_end() -> None:
    desk = Desk()
    await desk.submit("mer_a", "a")
    await desk.submit("mer_a", "b")
    await desk.submit("mer_b", "c")
    closing = asyncio.create_task(desk.lanes.close())
    await turns(5)
    await desk.close()
    await closing
