"""Which batch a lane takes: one of a merchant at a time, unless a second one helps."""

import asyncio
from itertools import chain

import pytest

from service.kernel import coalescing
from service.kernel.coalescing import Batches, Lanes, Member
from tests.ledger.rules import kit
from tests.ledger.rules.kit import turns

LANES, BATCH_MAX = 3, 4


@pytest.fixture(name="impatient")
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is slow at once."""
    monkeypatch.setattr(coalescing, "SLOW_S", 0.001)


class Desk:
    """Lanes whose batches end when the test says so."""

    def __init__(self, lanes: int = LANES, tenants_max: int = 1) -> None:
        # What is in flight, by its merchants and the names of their commands.
        self.members: dict[str, list[Member[str, str]]] = {}
        self.lanes: Lanes[str, str] = Lanes(
            lanes,
            BATCH_MAX,
            100,
            self._settle,
            lambda _member: RuntimeError("unsettled"),
            tenants_max,
        )
        self._ends: dict[str, asyncio.Event] = {}
        self._asked: list[tuple[str, asyncio.Task[str]]] = []

    @property
    def in_flight(self) -> list[str]:
        """What is in flight, a string for each lane."""
        return list(self.members)

    async def submit(self, tenant: str, *names: str) -> None:
        """Let commands arrive, each about a card of its own name (up to a dot)."""
        for name in names:
            submitted = self.lanes.submit(tenant, name.split(".")[0], name)
            self._asked.append((name, asyncio.create_task(submitted)))
        await turns(5)

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

    async def _settle(self, _lane: int, batches: Batches[str, str]) -> None:
        name = ", ".join(
            f"{tenant}: {' '.join(member.command for member in members)}"
            for tenant, members in batches.items()
        )
        self.members[name] = list(chain.from_iterable(batches.values()))
        await self._ends.setdefault(name, asyncio.Event()).wait()
        del self._ends[name]
        for member in self.members.pop(name):
            member.resolve(member.command)


async def test_what_arrives_while_a_batch_is_in_flight_is_the_next_one() -> None:
    desk = Desk()
    await desk.submit("mer_a", "a")
    await desk.submit("mer_a", "b", "c")
    assert desk.in_flight == ["mer_a: a"]
    await desk.end("mer_a: a")
    assert desk.in_flight == ["mer_a: b c"]
    await desk.close()


async def test_who_comes_meanwhile_about_the_same_may_board() -> None:
    """As many as there is room for; who doesn't is in the next batch, each once."""
    desk = Desk()
    await desk.submit("mer_a", "a.1")
    await desk.submit("mer_a", "a.2", "b", "a.3", "a.4", "a.5")
    lane = LANES - 1  # the one that was idle last
    assert desk.lanes.board(0, "mer_a", {"a"}) == desk.lanes.board(lane, "mer_b", {"a"}) == []
    boarded = desk.lanes.board(lane, "mer_a", {"a"})
    assert [member.command for member in boarded] == ["a.2", "a.3", "a.4"]
    assert (desk.lanes.board(lane, "mer_a", {"a"}), desk.lanes.queued) == ([], 2)
    for member in boarded:
        member.resolve(member.command)
    await desk.end("mer_a: a.1")
    assert desk.in_flight == ["mer_a: b a.5"]
    await desk.close()


async def test_whoever_boarded_is_answered_whatever_happens() -> None:
    desk = Desk()
    await desk.submit("mer_a", "a.1")
    await desk.submit("mer_a", "a.2")
    assert len(desk.lanes.board(LANES - 1, "mer_a", {"a"})) == 1
    desk.forget("a.2")
    await desk.end("mer_a: a.1")
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


async def test_small_merchants_go_together() -> None:
    """Up to as many as a lane may take, in the order in which they came; each has its own batch."""
    desk = Desk(lanes=1, tenants_max=3)
    await desk.submit("mer_a", "a")
    for tenant in ("mer_b", "mer_c", "mer_d", "mer_e"):
        await desk.submit(tenant, "x")
    await desk.submit("mer_c", "y")
    await desk.end("mer_a: a")
    assert desk.in_flight == ["mer_b: x, mer_c: x y, mer_d: x"]
    await desk.end("mer_b: x, mer_c: x y, mer_d: x")
    assert desk.in_flight == ["mer_e: x"]
    await desk.close()


async def test_a_batch_is_not_cut_small_for_company() -> None:
    """It goes whole, with others while there is room; who finds none is the first of the next."""
    desk = Desk(lanes=1, tenants_max=3)
    await desk.submit("mer_a", "a")
    await desk.submit("mer_b", "b", "c")
    await desk.submit("mer_c", "d", "e", "f")
    await desk.submit("mer_d", "g", "h")
    await desk.end("mer_a: a")
    assert desk.in_flight == ["mer_b: b c, mer_d: g h"]
    await desk.end("mer_b: b c, mer_d: g h")
    assert desk.in_flight == ["mer_c: d e f"]
    await desk.close()


async def company() -> Desk:
    """Two lanes are at work: one has `mer_b: b`, the other `mer_c: x, mer_d: x`."""
    desk = Desk(tenants_max=3)
    await desk.submit("mer_a", "a")
    await desk.submit("mer_b", "b")
    for tenant in ("mer_c", "mer_d"):
        await desk.submit(tenant, "x")
    await desk.end("mer_a: a")
    assert desk.in_flight == ["mer_b: b", "mer_c: x, mer_d: x"]
    return desk


async def test_a_merchant_in_flight_with_others_waits_for_its_own_next_batch() -> None:
    desk = await company()
    await desk.submit("mer_d", "y")
    await desk.end("mer_b: b")
    assert desk.in_flight == ["mer_c: x, mer_d: x"]
    await desk.end("mer_c: x, mer_d: x")
    assert desk.in_flight == ["mer_d: y"]
    await desk.close()


async def test_who_is_answered_does_not_wait_for_its_company() -> None:
    desk = await company()
    await desk.end("mer_b: b")
    assert desk.in_flight == ["mer_c: x, mer_d: x"]
    desk.members["mer_c: x, mer_d: x"][1].resolve("x")
    await desk.submit("mer_c", "y")
    await desk.submit("mer_d", "y")
    assert desk.in_flight == ["mer_c: x, mer_d: x", "mer_d: y"]
    await desk.close()


async def test_a_merchant_has_one_batch_in_flight_however_much_waits() -> None:
    """The other lane is free for who comes next."""
    desk = Desk()
    await desk.submit("mer_a", "a.1")
    await desk.submit("mer_a", "a.2", "b", "c", "d", "e")
    assert desk.in_flight == ["mer_a: a.1"]
    await desk.submit("mer_b", "x")
    assert desk.in_flight == ["mer_a: a.1", "mer_b: x"]
    await desk.end("mer_a: a.1")
    assert desk.in_flight == ["mer_b: x", "mer_a: a.2 b c d"]
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
    done, left, stuck = desk.members["mer_a: done.1 left.1 stuck.1"]
    done.resolve("done.1")
    left.answer.cancel()
    desk.forget("left.1")
    await desk.submit("mer_a", "left.2", "done.2", "stuck.2")
    await desk.slow()
    assert desk.in_flight == ["mer_a: done.1 left.1 stuck.1", "mer_a: done.2"]
    assert not stuck.answer.done()
    await desk.close()


async def test_who_waited_for_an_answered_card_does_not_wait_for_its_company() -> None:
    """No end of a batch and no new command comes to wake a lane."""
    desk = await company()
    await desk.slow()
    await desk.submit("mer_d", "x.2")
    assert desk.in_flight == ["mer_b: b", "mer_c: x, mer_d: x"]
    desk.members["mer_c: x, mer_d: x"][1].resolve("x")
    await turns(5)
    assert desk.in_flight == ["mer_b: b", "mer_c: x, mer_d: x", "mer_d: x.2"]
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


async def test_one_lane_is_kept_for_when_another_waits_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fewer lanes at work carry more each."""
    monkeypatch.setattr(coalescing, "SLOW_S", 0.5)
    desk = Desk(tenants_max=2)
    for tenant in ("mer_a", "mer_b", "mer_c", "mer_d"):
        await desk.submit(tenant, "x")
    assert desk.in_flight == ["mer_a: x", "mer_b: x"], "three lanes, two of them at work"
    await desk.slow()
    assert desk.in_flight == ["mer_a: x", "mer_b: x", "mer_c: x, mer_d: x"]
    await desk.end("mer_a: x")
    await desk.submit("mer_e", "x")
    assert desk.in_flight[-1] == "mer_e: x", "who waits long is not at work"
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
