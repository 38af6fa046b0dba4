"""The demo, short: it balances, everybody works, and a report that misses anything says so."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from schemas.reports import Movement
from tests.demo import books, report
from tests.demo.__main__ import conclude
from tests.demo.books import Facts, Reports, Sum
from tests.demo.chapters import CHAPTERS
from tests.demo.conftest import Run
from tests.demo.messages import OFFICE, Op


def test_it_balances(run: Run) -> None:
    assert (run.code, books.faults(run.facts)) == (0, [])
    assert books.roll_forward(run.facts).closing.total == run.facts.balances.total > 0
    assert run.output == f"{report.text(run.facts)}\nThe report: {run.kept}\n"
    assert "\nThe books balance, to the cent.\n" in run.output


def test_the_chapters_are_announced_in_order(run: Run) -> None:
    told = [run.progress.index(f" {one.title}: {one.tells}\n") for one in CHAPTERS]
    assert told == sorted(told)
    assert f"{run.facts.deaths[0]} killed and replaced" in run.progress
    assert [one.title for one in run.facts.chapters] == [one.title for one in CHAPTERS]
    assert all(one.operations for one in run.facts.chapters)


def test_every_process_did_something(run: Run) -> None:
    assert set(run.facts.exits.values()) == {0}
    assert len(run.facts.exits) == 6
    done = {op.place for op in run.facts.ops if op.entries}
    assert done == {OFFICE, 0, 1, 2, 3, 4}


def test_the_new_till_asks_what_is_true_of_what_the_dead_one_began(run: Run) -> None:
    name = run.facts.deaths[0]
    became = {op.key: op.became for op in run.facts.ops if op.fate == "died"}
    ends = {key.split("-", 3)[-1]: end for key, end in became.items()}
    assert all(key.startswith(name) for key in became)
    # Sent, and answered by nobody: it is booked, or refused, or (the line was down) done now.
    assert ends["sent"] in {"found", "replayed", "refused", "done"}
    assert ends["waits"] in {"done", "refused"}
    # Who has left has nothing taken from the card, whatever comes later.
    assert ends["left-undo"] == "blocked"
    assert sum(op.kind == "find_sale" for op in run.facts.ops) >= 3


def test_lines_were_cut_and_answers_replayed(run: Run) -> None:
    assert sum(op.drops for op in run.facts.ops) > 0
    assert sum(op.replayed for op in run.facts.ops) > 0
    assert any(op.codes for op in run.facts.ops)
    assert run.facts.checks
    assert run.facts.operations > len(run.facts.exits)


@pytest.mark.parametrize("flow", ["issue", "top_up", "redeem"])
def test_a_dropped_operation_shows(run: Run, flow: str, capsys: pytest.CaptureFixture[str]) -> None:
    ops = list(run.facts.ops)
    ops.remove(next(op for op in ops if any(entry.flow == flow for entry in op.entries)))
    assert conclude(replace(run.facts, ops=ops)) == 1
    assert capsys.readouterr().out.endswith("The books do not balance.\n")


def _one_fen(facts: Facts) -> Facts:
    held = facts.balances
    return replace(facts, balances=Sum(held.operations, held.principal - 1, held.bonus + 1))


def _idle(facts: Facts) -> Facts:
    return replace(facts, ops=[op for op in facts.ops if op.place != 2])


def _with(facts: Facts, op: Op) -> Facts:
    return replace(facts, ops=[*facts.ops, op])


def _reports(facts: Facts, **changed: object) -> Facts:
    return replace(facts, reports=replace(facts.reports, **changed))


def _line(facts: Facts, **moved: int) -> Facts:
    """One line of the day's roll-forward says something else."""
    day = facts.reports.day
    lines: list[Movement] = list(day.data)
    changed = {name: getattr(lines[0], name) + by for name, by in moved.items()}
    lines[0] = replace(lines[0], **changed)
    return _reports(facts, day=replace(day, data=lines))


def _settled(facts: Facts, **moved: int) -> Facts:
    """Two stores owe each other something else."""
    settlements = facts.reports.settlements
    cells = list(settlements.data)
    changed = {name: getattr(cells[0], name) + by for name, by in moved.items()}
    cells[0] = replace(cells[0], **changed)
    return _reports(facts, settlements=replace(settlements, data=cells))


def _owed(facts: Facts) -> Facts:
    owed = facts.reports.owed
    lines = [replace(one, value=one.value + 1) for one in owed.data]
    return _reports(facts, owed=replace(owed, data=lines))


def _less_was_topped_up(facts: Facts) -> Facts:
    before: Reports = facts.reports
    lines = [
        replace(one, flows=[flow for flow in one.flows if flow.kind != "top_up"])
        for one in before.before.data
    ]
    return _reports(facts, before=replace(before.before, data=lines))


DAMAGES: dict[str, Callable[[Facts], Facts]] = {
    "the cards hold": _one_fen,
    "did nothing": _idle,
    "till-1 ended with 1": lambda facts: replace(facts, exits={**facts.exits, "till-1": 1}),
    "INV-D2": lambda facts: replace(facts, breaches=["INV-D2 crd_1: damaged"]),
    "answered differently": lambda facts: _with(
        facts, Op("redeem", 0, 201, 1.0, contradicted=True)
    ),
    "one till was to die": lambda facts: replace(facts, deaths=[]),
    "visits were planned": lambda facts: replace(facts, begun=facts.begun - 1),
    "do not make": lambda facts: _line(facts, closing=1),
    "does not open with": lambda facts: _line(facts, opening=1),
    "another report says otherwise": _owed,
    "is owed, the cards hold": _owed,
    "the reports say (": _less_was_topped_up,
    "redeemed: ": lambda facts: _settled(facts, redeemed=1),
    "given back: ": lambda facts: _settled(facts, given_back=-1),
    "ended with 500": lambda facts: _with(facts, Op("redeem", 0, 500, 1.0, ["internal_error"])),
}


@pytest.mark.parametrize("complaint", DAMAGES)
def test_each_fault_is_named(run: Run, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(DAMAGES[complaint](run.facts)) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG: ")]
    assert any(complaint in line for line in wrong)
