"""Rule 2: one final image per row.

A count that differs fails the whole call inside the transaction.
"""

from typing import Any

import pytest

from service.kernel import embedded
from service.ledger.commands import Refund
from service.ledger.rows import Rows
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop, both, caught, schema_of, shop

# Positions of the arguments of post_v2 that the tests tamper with.
CARDS, LOTS, REDEMPTIONS = 4, 6, 11


def uncounted(arm: str) -> kit.Swaps:
    """The function without the comparison of one arm's row count."""
    what = f"'{arm} images: % of %', v_rows, cardinality(p_{arm}s)"
    return ((f"raise exception {what} using errcode = 'KF003'", "null"),)


ANY_REMAINING = (("\n      and l.remaining = i.remaining_old;", ";"),)


async def redeemed_and_refunded(merchant: Shop, poster: Any) -> list[Any]:
    """The arguments of a post that changes a card, a lot and a redemption."""
    card = await merchant.card(100)
    sold = await merchant.redeem(card, 40)
    refund = merchant.command(Refund(sold["id"], 15, "CNY", {}, None), card)
    return list((await merchant.fold(poster, [refund])).rows.arguments())


def tampered(rows: list[tuple[Any, ...]], column: int, value: Any) -> list[tuple[Any, ...]]:
    """The rows with one column replaced."""
    return [(*row[:column], value, *row[column + 1 :]) for row in rows]


@pytest.mark.parametrize(
    ("arm", "position", "column", "value"),
    [
        ("card", CARDS, 1, "crd_not_there"),
        ("lot", LOTS, 3, 99),
        ("lot", LOTS, 2, "lot_not_there"),
        ("redemption", REDEMPTIONS, 2, 7),
    ],
)
@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
async def test_rule_02_an_image_without_its_row_fails_the_call(
    database: embedded.Server, broken: bool, arm: str, position: int, column: int, value: Any
) -> None:
    schema = await schema_of(database, "post_v2", uncounted(arm) if broken else None)
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (poster,):
        arguments = await redeemed_and_refunded(merchant, poster)
        arguments[position] = tampered(arguments[position], column, value)
        outcome = await merchant.post(poster, arguments)
        with caught(broken, "half was written"):
            assert outcome == "KF003", "half was written"
            await merchant.require_whole()


@both(ANY_REMAINING)
async def test_rule_02_a_lot_is_changed_only_from_what_was_read(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (poster,):
        arguments = await redeemed_and_refunded(merchant, poster)
        arguments[LOTS] = tampered(arguments[LOTS], 3, 99)
        outcome = await merchant.post(poster, arguments)
        with caught(twin, "a lot that was another"):
            assert outcome == "KF003", "an image replaced a lot that was another"


class Unfolded(Rows):
    """Keeps an image for each command instead of the last one for the row."""

    def __init__(self, merchant_id: str) -> None:
        super().__init__(merchant_id)
        self.images: list[tuple[Any, ...]] = []

    def add(self, *arguments: Any) -> None:
        super().add(*arguments)
        self.images += super().arguments()[CARDS]

    def arguments(self) -> tuple[Any, ...]:
        found = list(super().arguments())
        found[CARDS] = self.images
        return tuple(found)


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
@both(Unfolded)
async def test_rule_02_commands_on_one_card_fold_to_one_image(
    database: embedded.Server,
    twin: type[Rows] | None,
    counted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arms of one statement don't see each other: of two images for one row, one is lost."""
    if twin:
        monkeypatch.setattr("service.ledger.batch.Rows", twin)
    schema = await schema_of(database, "post_v2", None if counted else uncounted("card"))
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (poster,):
        card = await merchant.card(100)
        commands = [merchant.redeeming(card, amount) for amount in (1, 20, 30)]
        batch = await merchant.fold(poster, commands)
        outcome: Any = await merchant.post(poster, batch.rows.arguments())
        with caught(twin, "not the last image"):
            assert outcome == [], "not the last image"
            assert await merchant.held() == 49, "not the last image"
            await merchant.require_whole()
        if twin and counted:
            assert outcome == "KF003"
            assert await merchant.held() == 100
