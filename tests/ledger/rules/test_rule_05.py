"""Rule 5: after the first miss locks come first, in one order; a worker never races itself.

THREAT-T27.
"""

import asyncio
import contextlib
from typing import Any

import pytest

from service.kernel import coalescing, embedded
from service.kernel.coalescing import Lanes
from service.kernel.problems import ProblemError
from service.ledger.commands import Command
from service.ledger.writer import Writer
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Tap, both, caught, schema_of, shop


class Optimist(Writer):
    """Hopes for better luck next time."""

    async def _attempt(
        self,
        lane: int,
        merchant_id: str,
        members: Any,
        lock: bool,  # noqa: ARG002  # that is the point
        retry: int = 0,
    ) -> bool:
        return await super()._attempt(lane, merchant_id, members, False, retry)


@both(Optimist)
async def test_rule_05_a_second_miss_is_impossible(
    database: embedded.Server, twin: type[Writer] | None
) -> None:
    """A rival that wins every race it can: once a row is locked, it can't."""
    tap = Tap()
    options = {"tap": tap, "writer_class": twin or Writer}
    async with shop(database, options) as merchant, kit.lines(kit.connect(database)) as (rival,):
        card = await merchant.card(100)
        tap.posts = 0

        async def win_the_race(number: int) -> None:
            batch = await merchant.fold(rival, [merchant.topping_up(card, 1)])
            await merchant.post(rival, batch.rows.arguments())

        tap.before = win_the_race
        with contextlib.suppress(ProblemError):
            await merchant.redeem(card, 50)
        with caught(twin, "missed again"):
            assert tap.posts == 2, "missed again"
            assert await merchant.held() == 51
            await merchant.require_whole()


IN_ORDER = "c.card_number = any (p_card_numbers)\n      order by c.card_id\n"
IN_ORDER_OF_ARRIVAL = (
    (
        IN_ORDER,
        IN_ORDER.replace("c.card_id", "array_position(p_card_numbers, c.card_number)"),
    ),
)
READ = "select * from read_v1($1, true, $2, '{}', '{}', '{}', '{}', '{}')"
TRY = "select from card where card_id = $1 for no key update skip locked"


@both(IN_ORDER_OF_ARRIVAL)
async def test_rule_05_locks_are_taken_in_order_of_id(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """Whoever waits for the lower card does not hold the higher one yet, or two can deadlock."""
    schema = await schema_of(database, "read_v1", twin)
    dials = kit.connect(database, schema), *(kit.admin(database) for _ in range(3))
    async with shop(database) as merchant, kit.lines(*dials) as (reader, holder, other, watcher):
        cards = [await merchant.card(100) for _ in range(2)]
        lower, higher = sorted(cards, key=lambda card: card.card_id)
        async with holder.transaction():
            await holder.fetch(TRY, lower.card_id)
            numbers = [higher.number, lower.number]
            task = asyncio.create_task(reader.fetch(READ, merchant.merchant_id, numbers))
            assert not await kit.done_or_waits(watcher, task, reader.get_server_pid())
            free = await other.fetch(TRY, higher.card_id)
        await task
        with caught(twin, "holds the higher"):
            assert free, "holds the higher card while it waits for the lower one"


class ByKey(Writer):
    """Thinks that commands race themselves only under one key."""

    async def submit(self, command: Command) -> Any:
        lanes = vars(self)["_lanes"]
        return await lanes.submit(command.credential.merchant_id, command.key_hash.hex(), command)


@both(ByKey)
async def test_rule_05_two_commands_of_a_card_are_never_in_flight_in_two_lanes(
    database: embedded.Server, twin: type[Writer] | None
) -> None:
    """The first is stuck behind a lock; the second waits for it, another card's doesn't."""
    tap = Tap()
    tap.on_connect = "set lock_timeout = '60s'"  # it waits for as long as the test needs
    options = {"lanes": 4, "writer_class": twin or Writer, "tap": tap}
    async with shop(database, options) as merchant, kit.lines(kit.admin(database)) as (other,):
        card, free = await merchant.card(100), await merchant.card(100)
        async with other.transaction():
            await other.execute("lock table posting in exclusive mode")
            stuck = asyncio.create_task(merchant.redeem(card, 1))
            lanes = vars(merchant.writer)["_lanes"]
            await kit.slow(lanes)
            tasks = [asyncio.create_task(merchant.redeem(each, 1)) for each in (card, free)]
            await kit.turns(20)
            about = sorted(
                m.subject
                for flight in vars(lanes)["_flights"]
                if flight
                for members in flight.batches.values()
                for m in members
            )
        await asyncio.gather(stuck, *tasks)
        with caught(twin, "in two lanes"):
            assert about == sorted([card.number, free.number]), "one card in two lanes"
        await merchant.require_whole()


class SideBySide(Lanes[str, str]):
    """Takes whatever waits, as if the batches in flight were about other cards."""

    def _batch(self, tenant: str, waiting: list[Any]) -> list[Any]:  # noqa: ARG002
        return waiting[: vars(self)["_batch_max"]]


@both(SideBySide)
async def test_rule_05_a_worker_never_races_itself(
    twin: type[Lanes[str, str]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch in flight is slow: a second starts, without the first one's card."""
    monkeypatch.setattr(coalescing, "SLOW_S", 0.001)
    racing: set[str] = set()
    flights: list[list[str]] = []
    release = asyncio.Event()

    async def settle(lane: int, batches: dict[str, list[Any]]) -> None:
        (members,) = batches.values()
        subjects = {member.subject for member in members}
        flights.append(sorted(subjects))
        raced.update(subjects & racing)
        racing.update(subjects)
        await release.wait()
        racing.difference_update(subjects)
        for member in members:
            member.resolve("done")

    raced: set[str] = set()
    lanes = (twin or Lanes)(3, 2, 100, settle, lambda _member: RuntimeError("unsettled"))
    first = asyncio.create_task(lanes.submit("mer", "card_a", "first"))
    await kit.slow(lanes)
    cards = ["card_a", "card_b", "card_a"]
    later = [asyncio.create_task(lanes.submit("mer", card, "later")) for card in cards]
    await kit.turns(5)
    in_flight = list(flights)
    release.set()
    await asyncio.gather(first, *later)
    await lanes.close()
    with caught(twin, "races itself"):
        assert not raced, f"a worker races itself: {raced}"
        assert in_flight == [["card_a"], ["card_b"]]
