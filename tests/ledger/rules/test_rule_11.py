"""Rule 11: a card's time never goes back, and no `now()` decides in SQL.

A test tenant's clock only moves forward. THREAT-T28.
"""

import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest

from service.kernel import database, embedded
from service.kernel.sql import SQL
from service.ledger.batch import Batch
from service.ledger.commands import Command
from service.ledger.state import View
from service.merchants import operations as merchants
from tests.ledger import scratch
from tests.ledger.rules import kit
from tests.ledger.rules.kit import both, caught, shop, swapped

true_view = Batch.view


def by_the_clock_alone(batch: Batch, command: Command) -> Any:
    """The clock of the read, wherever the card already is."""
    view = true_view(batch, command)
    if isinstance(view, View):
        view.now = vars(batch)["_snapshot"].now
    return view


@both(by_the_clock_alone)
async def test_rule_11_a_clock_that_goes_back_does_not_take_a_card_with_it(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fail-over to a server that is behind: lapsed stays lapsed, times only rise."""
    if twin:
        monkeypatch.setattr(Batch, "view", twin)
    async with shop(database) as merchant:
        card = await merchant.card(100)
        await merchant.move_clock(datetime.now(UTC) + timedelta(days=40))
        await merchant.redeem(card, 10)
        back = "update merchant set test_now = null, epoch = epoch + 1 where merchant_id = $1"
        await merchant.rows(back)
        await merchant.redeem(card, 10)
        legs = await merchant.rows(
            "select o.decided_at from leg g join operation o using (merchant_id, operation_id)"
            " where g.merchant_id = $1 order by g.version"
        )
        with caught(twin, "went back"):
            times = [leg["decided_at"] for leg in legs]
            assert times == sorted(times), "a card's time went back"
            await merchant.require_whole()


# The clock of a batch is read in one place; everything else is given its time.
CLOCK = re.compile(
    r"\b(?:now\s*\(|clock_timestamp|current_timestamp|current_date|localtime|statement_timestamp|"
    r"transaction_timestamp|timeofday|current_time)",
    re.IGNORECASE,
)
DOMAIN = ("ledger", "cards", "redemptions")


def clocks(text: str) -> list[str]:
    """Where SQL looks at a clock of its own; comments apart."""
    code = re.sub(r"--[^\n]*", "", text)
    return CLOCK.findall(code)


def test_rule_11_domain_sql_has_no_clock() -> None:
    folder = files("sql") / "functions"
    functions = {
        name: (folder / f"{name}.sql").read_text("utf-8")
        for name in ("read_v1", "read_state_v1", "post_v2")
    }
    assert clocks(functions["read_v1"]) == []
    assert clocks(functions["read_state_v1"]) == ["clock_timestamp"], "the one clock of a batch"
    assert clocks(functions["post_v2"]) == []
    assert {name: clocks(text) for name, text in SQL.items() if name.split(".")[0] in DOMAIN} == {
        name: [] for name in SQL if name.split(".")[0] in DOMAIN
    }
    broken = swapped(functions["post_v2"], [("c.created_at, c.created_at", "now(), now()")])
    assert clocks(broken) == ["now(", "now("]


BACK_AND_FORTH = (("and $2 > coalesce(test_now, clock_timestamp())", ""),)


@both(BACK_AND_FORTH)
async def test_rule_11_a_test_clock_only_moves_forward(
    database: embedded.Server, twin: kit.Swaps | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SQL["merchants.move_clock"]
    monkeypatch.setitem(dict_of(SQL), "merchants.move_clock", swapped(text, twin or ()))
    later = datetime.now(UTC) + timedelta(days=40)
    async with shop(database) as merchant:
        await merchant.move_clock(later)
        with caught(twin, "was moved back"):
            for earlier in (later, later - timedelta(seconds=1), datetime.now(UTC)):
                assert await moved(merchant, earlier) is None, "the clock was moved back"


async def moved(merchant: kit.Shop, now: datetime) -> datetime | None:
    """The new clock, or None when it may not be moved there."""
    try:
        async with database.tenant(merchant.pool, merchant.merchant_id) as connection:
            return await merchants.move_clock(connection, merchant.merchant_id, now)
    except ValueError:
        return None


def dict_of(mapping: Any) -> dict[str, str]:
    """The loader's own dictionary, to put a twin into."""
    assert isinstance(mapping, dict)
    return mapping


async def test_rule_11_a_live_tenant_has_no_clock_of_its_own(database: embedded.Server) -> None:
    async with shop(database) as merchant:
        await scratch.execute(
            database.admin_dsn,
            f"update merchant set mode = 'live' where merchant_id = '{merchant.merchant_id}'",
        )
        assert await moved(merchant, datetime.now(UTC) + timedelta(days=1)) is None
