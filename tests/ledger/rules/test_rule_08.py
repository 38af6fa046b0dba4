"""Rule 8: committing is one thing, answering another; whatever happens, all are answered."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

import pytest

from service.kernel.coalescing import Batches, Lanes, Member, OverloadedError
from tests.ledger.rules.kit import both, caught, turns

TURNS_MAX = 50

Settle = Callable[[int, Batches[str, str]], Awaitable[None]]


class UnsettledError(Exception):
    """What a member is told that `settle` left alone."""


def opened(settle: Settle, kind: type[Lanes[str, str]] | None = None) -> Lanes[str, str]:
    """One lane."""
    return (kind or Lanes)(1, 10, 100, settle, lambda _: UnsettledError())


async def is_answered(task: "asyncio.Task[str]") -> bool:
    """Whether a task ends within some turns of the loop."""
    for _ in range(TURNS_MAX):
        if task.done():
            return True
        await asyncio.sleep(0)
    return False


def resolve_blindly(member: Member[str, str], answer: str) -> None:
    """Expects the client to be there."""
    member.answer.set_result(answer)


@both(resolve_blindly)
async def test_rule_08_a_client_that_left_costs_nobody_else_the_answer(
    twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves while the batch commits: the others' effects are done, and they must hear of it."""
    if twin:
        monkeypatch.setattr(Member, "resolve", twin)
    committing, committed = asyncio.Event(), asyncio.Event()

    async def settle(lane: int, batches: Batches[str, str]) -> None:
        committing.set()
        await committed.wait()
        for member in chain.from_iterable(batches.values()):
            member.resolve(f"{member.command} done")

    lanes = opened(settle)
    names = ["leaves", "b", "c"]
    tasks = [asyncio.create_task(lanes.submit("mer", "card", name)) for name in names]
    await committing.wait()
    tasks[0].cancel()
    await turns(2)
    committed.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    with caught(twin, "without their answers"):
        assert answers[1:] == ["b done", "c done"], "the others are without their answers"
    await lanes.close()


class Trusting(Lanes[str, str]):
    """Expects `settle` to answer everybody, or to raise nothing worse than an Exception."""

    async def _settle_whole(self, lane: int, batches: Batches[str, str]) -> None:
        try:
            await self._settle(lane, batches)
        except Exception as error:
            for member in chain.from_iterable(batches.values()):
                member.fail(error)


@pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError(), None])
@both(Trusting)
async def test_rule_08_whatever_ends_a_batch_resolves_every_member(
    twin: type[Lanes[str, str]] | None, error: BaseException | None
) -> None:
    """And the lane goes on: who comes next is served."""
    fails = True

    async def settle(lane: int, batches: Batches[str, str]) -> None:
        if not fails:
            for member in chain.from_iterable(batches.values()):
                member.resolve("done")
        elif error is not None:
            raise error

    lanes = opened(settle, twin)
    tasks = [asyncio.create_task(lanes.submit("mer", "card", name)) for name in "ab"]
    answered = [await is_answered(task) for task in tasks]
    fails = False
    later = asyncio.create_task(lanes.submit("mer", "card", "c"))
    answered.append(await is_answered(later))
    for task in (*tasks, later):
        task.cancel()
    results = await asyncio.gather(*tasks, later, return_exceptions=True)
    await lanes.close()
    with caught(twin and not isinstance(error, RuntimeError), "left waiting"):
        assert all(answered), "left waiting"
    if not twin:
        assert [type(result) for result in results[:2]] == [UnsettledError] * 2
        assert results[2] == "done"


class DiesQuietly(Lanes[str, str]):
    """Leaves its queue behind."""

    async def _run(self, lane: int) -> None:
        while taken := self._take(lane):
            await self._settle_whole(lane, taken)


@both(DiesQuietly)
async def test_rule_08_a_lane_that_is_ended_leaves_nobody_waiting(
    twin: type[Lanes[str, str]] | None,
) -> None:
    """One is being settled, one waits behind it, one comes later: each is told."""
    forever = asyncio.Event()

    async def settle(lane: int, batches: Batches[str, str]) -> None:
        await forever.wait()

    lanes = opened(settle, twin)
    tasks = [asyncio.create_task(lanes.submit("mer_a", "card", "settled now"))]
    tasks.append(asyncio.create_task(lanes.submit("mer_b", "card", "waits")))
    await turns(3)
    vars(lanes)["_tasks"][0].cancel()
    await turns(3)
    tasks.append(asyncio.create_task(lanes.submit("mer_a", "card", "comes later")))
    answered = [await is_answered(task) for task in tasks]
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    with caught(twin, "left waiting"):
        assert all(answered), "left waiting"
        told = [UnsettledError, UnsettledError, OverloadedError]
        assert [type(result) for result in results] == told


class TidiesUpFirst(Lanes[str, str]):
    """Ends its run between "the queue looked empty" and "I no longer run"."""

    async def _run(self, lane: int) -> None:
        wake = vars(self)["_wakes"][lane]
        while True:
            taken = self._take(lane)
            if taken is not None:
                await self._settle_whole(lane, taken)
            elif vars(self)["_closed"]:
                return
            else:
                await turns(3)  # gives something back
                wake.clear()
                vars(self)["_idle"].append(lane)
                await wake.wait()


@both(TidiesUpFirst)
async def test_rule_08_no_request_is_stranded_between_two_batches(
    twin: type[Lanes[str, str]] | None,
) -> None:
    """One request at each turn of the loop after the one before was answered."""

    async def settle(lane: int, batches: Batches[str, str]) -> None:
        for member in chain.from_iterable(batches.values()):
            member.resolve("done")

    stranded = []
    for pause in range(12):
        lanes = opened(settle, twin)
        await lanes.submit("mer", "card", "first")
        await turns(pause)
        second = asyncio.create_task(lanes.submit("mer", "card", "second"))
        if not await is_answered(second):
            stranded.append(pause)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await lanes.close()
    with caught(twin, "stranded"):
        assert not stranded, f"stranded after {stranded} turns"
