"""The demo, short: it balances, everybody works, and a report that misses anything says so."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.demo import books, report
from tests.demo.__main__ import conclude
from tests.demo.books import Facts, Sum
from tests.demo.messages import OFFICE, Op
from tests.harness.server import ROOT

LIMIT_S = 240.0


class Run(msgspec.Struct):
    """A finished run: what it printed and what its report was made from."""

    code: int
    output: str
    progress: str
    facts: Facts


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Five seconds of the demo, as `make demo` runs it."""
    file: Path = tmp_path_factory.mktemp("demo") / "facts.json"
    command = [sys.executable, "-m", "tests.demo", "--seconds", "5", "--facts", str(file)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert file.exists(), ended.stderr
    facts = msgspec.json.decode(file.read_bytes(), type=Facts)
    return Run(ended.returncode, ended.stdout, ended.stderr, facts)


def test_it_balances(run: Run) -> None:
    assert (run.code, books.faults(run.facts)) == (0, [])
    assert books.roll_forward(run.facts).closing.total == run.facts.balances.total > 0
    assert run.output == report.text(run.facts) + "\n"
    assert run.output.endswith("The books balance, to the cent.\n")
    assert "\x1b" not in run.output + run.progress, "no terminal, no bar"


def test_every_process_did_something(run: Run) -> None:
    assert set(run.facts.exits.values()) == {0}
    assert len(run.facts.exits) == 6
    done = {op.place for op in run.facts.ops if op.entries}
    assert done == {OFFICE, 0, 1, 2, 3, 4}


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


DAMAGES: dict[str, Callable[[Facts], Facts]] = {
    "the cards hold": _one_fen,
    "did nothing": _idle,
    "till-1 ended with 1": lambda facts: replace(facts, exits={**facts.exits, "till-1": 1}),
    "INV-D2": lambda facts: replace(facts, breaches=["INV-D2 crd_1: damaged"]),
    "answered differently": lambda facts: _with(
        facts, Op("redeem", 0, 201, 1.0, contradicted=True)
    ),
    "ended with 500": lambda facts: _with(facts, Op("redeem", 0, 500, 1.0, ["internal_error"])),
}


@pytest.mark.parametrize("complaint", DAMAGES)
def test_each_fault_is_named(run: Run, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(DAMAGES[complaint](run.facts)) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG: ")]
    assert any(complaint in line for line in wrong)
