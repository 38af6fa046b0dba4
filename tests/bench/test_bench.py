"""The bench does not believe itself: what it can't account for fails the run."""

import re
from datetime import UTC, datetime
from statistics import median

import pytest
from msgspec.structs import replace

from service.api_keys import operations as api_keys
from service.kernel import database, embedded
from tests.bench import __main__ as command
from tests.bench import client, load, report, seed
from tests.bench.bench import QUICK, Bench
from tests.bench.export import Walk
from tests.bench.figures import BenchError, Line, Run, best, percentile, ratio_line
from tests.bench.seed import Merchant
from tests.harness.server import Server

DOCUMENT = (
    "Before.\n\n<!-- bench a -->\nold\n<!-- end -->\n\nBetween.\n\n<!-- bench b -->\n<!-- end -->\n"
)


@pytest.fixture
async def merchant(postgres: embedded.Server) -> Merchant:
    """A merchant with three cards."""
    async with seed.superuser(postgres.admin_dsn) as admin:
        return (await seed.seed(admin, 1, 3, 0))[0]


@pytest.fixture(params=["wrk", "own client"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With wrk, and as on a machine without it."""
    if request.param == "own client":
        monkeypatch.setattr(load, "find_wrk", lambda: None)
    elif load.find_wrk() is None:
        pytest.skip("wrk is not installed")


async def test_a_load_is_in_the_ledger(
    program: None, server: Server, postgres: embedded.Server, merchant: Merchant
) -> None:
    run = await load.measure(server.port, [load.all_cards(merchant)], 8, 1)
    assert run.least > 0
    async with seed.superuser(postgres.admin_dsn) as admin:
        assert run.least <= await seed.redeemed(admin, [merchant], run.stamp) <= run.most


async def test_an_answer_other_than_201_fails_the_run(
    program: None, server: Server, merchant: Merchant
) -> None:
    unknown = [load.Target(merchant, 3, 3)]
    with pytest.raises(BenchError, match="201"):
        await load.measure(server.port, unknown, 8, 1)


async def test_a_count_that_the_ledger_denies_fails_the_run(
    server: Server, postgres: embedded.Server, merchant: Merchant
) -> None:
    async with seed.superuser(postgres.admin_dsn) as admin:
        pid = postgres.postmaster_pid
        assert pid is not None
        bench = Bench(QUICK, server, postgres.app_dsn, pid, admin, merchant)
        assert await bench.accounted(Run("none", 5.0, 0, 8), [merchant]) == 5.0
        with pytest.raises(BenchError, match="the ledger gained 0"):
            await bench.accounted(Run("none", 5.0, 1, 9), [merchant])


async def test_open_loop_sends_at_its_own_pace(server: Server, merchant: Merchant) -> None:
    requests = client.Requests([merchant], (0, 2))
    measured = await client.open_loop(server.port, requests, 4, 20.0, 1.0)
    assert len(measured.latencies) == requests.made == 20
    assert measured.latencies == sorted(measured.latencies)
    assert measured.latencies[0] > 0


async def test_open_loop_reports_a_refusal(server: Server, merchant: Merchant) -> None:
    stranger = replace(merchant, token=merchant.token[:-1])
    with pytest.raises(BenchError, match="401"):
        await client.open_loop(server.port, client.Requests([stranger], (0, 2)), 4, 20.0, 1.0)


async def test_an_export_that_lacks_a_row_fails_the_run(
    server: Server, postgres: embedded.Server, merchant: Merchant
) -> None:
    pool = await database.open_pool(postgres.app_dsn, 1)
    key = await api_keys.create(pool, merchant.merchant_id, "office", "merchant", None)
    await pool.close()
    closing_at = datetime.now(UTC).replace(microsecond=0)
    whole = Walk(server.port, key.token, closing_at, rows=6)
    await whole.to_the_end()
    assert (whole.walked, whole.whole, whole.resumed) == (6, 1, 1)
    with pytest.raises(BenchError, match="6 rows were exported, the ledger has 7"):
        await Walk(server.port, key.token, closing_at, rows=7).to_the_end()
    with pytest.raises(BenchError, match="401"):
        await Walk(server.port, key.token[:-1], closing_at, rows=6).to_the_end()


def test_zipf_gives_the_first_most_and_everybody_some() -> None:
    merchants = [Merchant(f"m{rank}", "", "", "", 10) for rank in range(1000)]
    weights = [target.weight for target in load.zipf(merchants, 1.1)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] / weights[99] == pytest.approx(100**1.1, rel=0.01)
    assert weights[-1] >= 1
    assert sum(weights) == pytest.approx(100_000, rel=0.01)


def test_a_section_changes_alone() -> None:
    text = report.section(DOCUMENT, "a", "new")
    assert text == DOCUMENT.replace("old\n", "\nnew\n\n")
    assert report.section(text, "a", "new") == text
    with pytest.raises(BenchError, match="no place for c"):
        report.section(DOCUMENT, "c", "new")


def test_the_document_has_a_place_for_every_measurement() -> None:
    text = report.DOCUMENT.read_text("utf-8")
    assert re.findall(r"<!-- bench (\w+) -->", text) == list(command.MEASURES)
    for name in command.MEASURES:
        assert "\nnew\n" in report.section(text, name, "new")


def test_verdicts() -> None:
    assert ratio_line("a / b", [2.0, 4.0, 9.0], [2.0, 2.0, 3.0], 2.0).met is True
    assert ratio_line("a / b", [2.0, 3.9, 9.0], [2.0, 2.0, 3.0], 2.0).met is False
    lines = [Line("a", "1"), Line("b", "2", "≥ 1", True), Line("c", "3", "≥ 4", False)]
    verdicts = [row.split("|")[4].strip() for row in report.table(lines).splitlines()]
    assert verdicts[2:] == ["", "met", "**missed**"]


def test_statistics() -> None:
    figures = {"a": [1.0, 9.0, 2.0], "b": [3.0, 3.0, 3.0]}
    assert best(figures) == "b"
    assert median(figures["a"]) == 2.0
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (51.0, 100.0)
