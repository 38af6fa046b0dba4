"""Several merchants' batches settled together: what befalls one does not befall the others."""

import asyncio
from typing import Any

import msgspec
import pytest

from service.kernel import embedded
from service.kernel.problems import UNAUTHENTICATED, ProblemError
from service.kernel.sql import SQL
from service.ledger import batch as batches
from service.ledger.attempts import Attempt
from service.ledger.batch import NOT_SENT, Sent, Settled
from service.ledger.batch import replay as answer_of_key
from service.ledger.commands import Command
from service.ledger.reasons import REQUEST_IN_PROGRESS
from service.ledger.state import Key
from service.ledger.writer import Writer
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop, Tap, both, caught, shop
from tests.ledger.rules.test_rule_06 import outcome_of


async def submit(writer: Any, *commands: Command) -> list[Any]:
    """Submit in one turn of the loop, so that a lane finds them all waiting."""
    tasks = [asyncio.create_task(writer.submit(command)) for command in commands]
    return await asyncio.gather(*tasks, return_exceptions=True)


def statuses(answers: list[Any]) -> list[int]:
    """HTTP status of each answer."""
    return [kit.status_of(answer) for answer in answers]


async def require(merchant: Shop, held: int) -> None:
    """What a merchant's cards must hold, and that its books balance."""
    assert await merchant.held() == held
    await merchant.require_whole()


async def test_two_merchants_share_a_call(database: embedded.Server) -> None:
    tap = Tap()
    async with shop(database, {"tap": tap}) as first, shop(database) as second:
        cards = [await first.card(100), await second.card(100)]
        tap.posts = 0
        commands = first.redeeming(cards[0], 30), second.redeeming(cards[1], 40)
        answers = await submit(first.writer, *commands)
        assert statuses(answers) == [201, 201]
        assert tap.posts == 1
        again = await submit(first.writer, *commands)
        assert [answer.body for answer in again] == [answer.body for answer in answers]
        assert all(answer.replayed for answer in again)
        assert tap.posts == 1, "what was done before has nothing to post"
        await require(first, 70)
        await require(second, 60)


async def test_a_post_that_fails_costs_nobody_an_answer(database: embedded.Server) -> None:
    """One's key is taken between the read and the post, in the middle of the call.

    Who was before it is done, who comes after it is posted alone, and its own key tells the truth.
    """
    tap = Tap()
    async with (
        shop(database, {"tap": tap}) as first,
        shop(database) as second,
        shop(database) as third,
        kit.lines(kit.connect(database)) as (rival,),
    ):
        shops = first, second, third
        cards = [await merchant.card(100) for merchant in shops]
        other = await second.card(50)
        tap.posts = 0
        commands = [m.redeeming(card, 30) for m, card in zip(shops, cards, strict=True)]

        async def take_the_key(number: int) -> None:
            if number == 1:
                taken = msgspec.structs.replace(commands[1], card_number=other.number)
                batch = await second.fold(rival, [taken])
                assert await second.post(rival, batch.rows.arguments()) == []

        tap.before = take_the_key
        answers = await submit(first.writer, *commands)
        assert statuses(answers) == [201, 201, 201]
        assert [answer.replayed for answer in answers] == [False, True, False]
        assert tap.posts == 2
        await require(first, 70)
        await require(second, 100 + 20)
        await require(third, 70)


async def test_who_misses_is_attempted_again_alone(database: embedded.Server) -> None:
    tap = Tap()
    async with (
        shop(database, {"tap": tap}) as first,
        shop(database) as second,
        kit.lines(kit.connect(database)) as (rival,),
    ):
        cards = [await first.card(100), await second.card(100)]
        tap.posts = 0

        async def move_the_card(number: int) -> None:
            if number == 1:
                batch = await first.fold(rival, [first.topping_up(cards[0], 1)])
                assert await first.post(rival, batch.rows.arguments()) == []

        tap.before = move_the_card
        commands = first.redeeming(cards[0], 30), second.redeeming(cards[1], 40)
        assert statuses(await submit(first.writer, *commands)) == [201, 201]
        assert tap.posts == 2
        commands = first.redeeming(cards[0], 1), second.redeeming(cards[1], 1)
        assert statuses(await submit(first.writer, *commands)) == [201, 201]
        assert tap.posts == 4, "a card that was contended a moment ago is locked first, alone"
        await require(first, 70)
        await require(second, 59)


async def test_a_merchant_that_is_not_there_costs_only_its_own(database: embedded.Server) -> None:
    async with shop(database) as merchant:
        card = await merchant.card(100)
        credential = msgspec.structs.replace(merchant.credential, merchant_id="mer_0")
        stranger = msgspec.structs.replace(merchant.redeeming(card, 1), credential=credential)
        answers = await submit(merchant.writer, stranger, merchant.redeeming(card, 30))
        assert isinstance(answers[0], ProblemError)
        assert answers[0].code == UNAUTHENTICATED
        assert answers[1].status == 201
        await require(merchant, 70)


def any_key_is_anothers(key: Key, fingerprint: bytes, _sent: Sent) -> Any:
    """Doesn't know what it has posted itself."""
    return answer_of_key(key, fingerprint, NOT_SENT)


@both(any_key_is_anothers)
async def test_a_lost_call_is_asked_for_again_by_each(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is cut after the server did it all: each is found done under its own key.

    Of those that ask for the same, one gets an answer that is no replay (INV-H7).
    """
    if twin:
        monkeypatch.setattr(batches, "replay", twin)
    tap = Tap()
    async with shop(database, {"tap": tap}) as first, shop(database) as second:
        cards = [await first.card(100), await second.card(100)]
        twice = second.redeeming(cards[1], 40)

        async def cut(inner: Any, query: str, *values: Any) -> Any:
            tap.instead = None
            assert query == SQL["ledger.post_many"]
            await inner.fetchval(query, *values)
            raise ConnectionResetError("the line was cut")

        tap.instead = cut
        answers = await submit(first.writer, first.redeeming(cards[0], 30), twice, twice)
        assert statuses(answers) == [201, 201, 201]
        await require(first, 70)
        await require(second, 60)
        with caught(twin, "which were given before"):
            replayed = [answer.replayed for answer in answers]
            assert replayed == [False, False, True], "which were given before"


def unnoticed(_attempt: Attempt) -> None:
    """Nobody remembers that it was sent."""


@both(unnoticed)
async def test_a_lost_call_that_stays_unknown_is_called_unknown_for_each(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if twin:
        monkeypatch.setattr(Attempt, "send", twin)
    tap = Tap()
    options = {"tap": tap, "patience_s": 0.5}
    async with shop(database, options) as first, shop(database) as second:
        cards = [await first.card(100), await second.card(100)]
        tap.instead = tap.commit_and_cut
        second.writer = first.writer
        tasks = [
            asyncio.create_task(outcome_of(merchant, merchant.redeeming(card, 30)))
            for merchant, card in zip((first, second), cards, strict=True)
        ]
        outcomes = await asyncio.gather(*tasks)
        assert [await first.held(), await second.held()] == [70, 70]
        with caught(twin, "the answers say"):
            assert outcomes == ["unknown"] * 2, f"30 were taken, the answers say {outcomes}"


async def test_a_client_that_left_is_not_served(database: embedded.Server) -> None:
    """It was gone before its turn came: nothing is done for it, and the others are served."""
    async with shop(database) as first, shop(database) as second:
        cards = [await first.card(100), await second.card(100)]
        leaves = asyncio.create_task(first.writer.submit(first.redeeming(cards[0], 30)))
        stays = asyncio.create_task(first.writer.submit(second.redeeming(cards[1], 40)))
        await asyncio.sleep(0)
        leaves.cancel()
        assert kit.status_of(await stays) == 201
        await require(first, 100)
        await require(second, 60)


async def test_a_client_that_leaves_while_it_is_posted_costs_nobody_anything(
    database: embedded.Server,
) -> None:
    tap = Tap()
    async with shop(database, {"tap": tap}) as first, shop(database) as second:
        cards = [await first.card(100), await second.card(100)]
        tap.posts = 0
        leaves = asyncio.create_task(first.writer.submit(first.redeeming(cards[0], 30)))
        stays = asyncio.create_task(first.writer.submit(second.redeeming(cards[1], 40)))

        async def leave(number: int) -> None:
            leaves.cancel()

        tap.before = leave
        assert kit.status_of(await stays) == 201
        assert leaves.cancelled()
        assert tap.posts == 1
        await require(first, 70)
        await require(second, 60)


def forgetful(_attempt: Attempt, _keys: Any) -> None:
    """What was sent once stays sent."""


@both(forgetful)
async def test_whose_post_fails_for_sure_is_told_so(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says that the call has ended: nobody's outcome is unknown for that."""
    if twin:
        monkeypatch.setattr(Attempt, "unsend_unless", twin)
    tap = Tap()
    tap.on_connect = "set lock_timeout = '100ms'"
    async with (
        shop(database, {"tap": tap}) as first,
        shop(database) as second,
        kit.lines(kit.admin(database)) as (holder,),
    ):
        cards = [await first.card(100), await second.card(100)]
        async with holder.transaction():
            await holder.fetch(kit.HOLD, first.merchant_id)
            answers = await submit(
                first.writer, first.redeeming(cards[0], 30), second.redeeming(cards[1], 40)
            )
        assert answers[1].status == 201
        with caught(twin, "the answer says outcome_unknown"):
            code = answers[0].code.code
            assert code == REQUEST_IN_PROGRESS.code, f"the answer says {code}"
        await require(first, 100)
        await require(second, 60)


class OneAfterTheOther(Writer):
    """Has done with one merchant before it turns to the next."""

    async def _settle(self, lane: int, batches: Any) -> None:
        deadline = asyncio.get_running_loop().time() + vars(self)["_patience_s"]
        await self._try(lane, self._attempt_together(lane, batches))
        for merchant_id, members in batches.items():
            await self._settle_alone(lane, merchant_id, members, deadline)


@both(OneAfterTheOther)
async def test_one_merchant_in_trouble_does_not_spend_the_patience_of_the_others(
    database: embedded.Server, twin: type[Writer] | None
) -> None:
    """Its commands, one by one, wait longer for a lock than anybody's patience lasts."""
    tap = Tap()
    tap.on_connect = "set lock_timeout = '300ms'"
    options = {"tap": tap, "patience_s": 1.0, "writer_class": twin or Writer}
    async with (
        shop(database, options) as first,
        shop(database) as second,
        shop(database) as third,
        kit.lines(kit.admin(database)) as (holder,),
    ):
        stuck = [await first.card(100) for _ in range(4)]
        others = [(shop_, await shop_.card(100)) for shop_ in (second, third)]
        async with holder.transaction():
            await holder.fetch(kit.HOLD, first.merchant_id)
            answers = await submit(
                first.writer,
                *(first.redeeming(card, 30) for card in stuck),
                *(merchant.redeeming(card, 40) for merchant, card in others),
            )
        assert all(isinstance(answer, ProblemError) for answer in answers[:4])
        served = [isinstance(answer, Settled) and answer.status for answer in answers[4:]]
        with caught(twin, "were not served"):
            assert served == [201, 201], "the others were not served"
        for merchant in (first, second, third):
            await merchant.require_whole()
