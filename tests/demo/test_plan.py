"""The plan: one seed, one plan; and the processes do what it says."""

import os
import subprocess
import sys

import msgspec
import pytest

from tests.demo import plan
from tests.demo.chapters import BEFORE, CHAPTERS, DEATH
from tests.demo.conftest import SECONDS, SEED, Run
from tests.demo.messages import OFFICE, Op, Visit, role
from tests.demo.plan import Plan
from tests.harness.server import ROOT


def test_one_seed_gives_one_plan_and_another_gives_another() -> None:
    assert plan.make(7, 60) == plan.make(7, 60)
    others = [plan.make(seed, 60) for seed in range(8)]
    assert len({one.digest for one in others}) == len(others)
    # Not by a name or two: hardly anybody does the same.
    first, second = (one.visits[0] for one in others[:2])
    same = sum(left == right for left, right in zip(first, second, strict=True))
    assert same < len(first) / 100


def test_a_plan_is_the_same_in_every_process() -> None:
    code = "from tests.demo import plan; print(plan.make(7, 60).digest)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for salt in ("1", "2")
    }
    assert found == {plan.make(7, 60).digest}


@pytest.mark.parametrize("seconds", [1.0, 5.0, 60.0])
def test_a_plan_can_be_done(seconds: float) -> None:
    made = plan.make(3, seconds)
    joined: set[int] = set()
    for chapter in range(len(CHAPTERS)):
        visits = [one for place in made.visits for one in made.visits[place]]
        now = [one for one in visits if one.chapter == chapter]
        # Whoever comes had a card before the chapter began; every till has somebody.
        assert {one.customer for one in now if one.what != "join"} <= joined
        joined |= {one.customer for one in now if one.what == "join"}
    for place, visits in made.visits.items():
        assert [one.number for one in visits] == list(range(len(visits)))
        assert all(visits[one.earlier].number < one.number for one in visits if one.earlier)
        dying = [one for one in visits if one.what == "die"]
        assert [one.chapter for one in dying] == ([DEATH] if place == made.dies else [])
        assert {one.chapter for one in visits if place != OFFICE}.isdisjoint({BEFORE})


def test_the_run_followed_its_plan(run: Run) -> None:
    made = plan.make(SEED, SECONDS)
    assert run.facts.plan == made.digest
    assert _strangers(run.facts.ops, made) == []
    assert _strangers(run.facts.ops, plan.make(SEED + 1, SECONDS)), "another seed, another day"


def _strangers(ops: list[Op], made: Plan) -> list[Op]:
    """Redemptions that sold something else than the visit that they name had planned."""
    visits = {(role(place), one.number): one for place in made.visits for one in made.visits[place]}
    found = []
    for op in ops:
        if op.kind == "redeem" and op.goods:
            name = role(op.place)
            visit = visits.get((name, int(op.key.removeprefix(f"{name}-")[:6])))
            if visit is None or op.goods != _goods(visit):
                found.append(op)
    return found


def _goods(visit: Visit) -> dict[str, int]:
    # A till that dies rings up one service at a time.
    lines = visit.lines[:1] if visit.what == "die" else visit.lines
    return {line["sku"]: line["total"] for line in lines}


def test_a_plan_survives_the_wire() -> None:
    visits = plan.make(7, 5).visits[0]
    assert msgspec.json.decode(msgspec.json.encode(visits), type=list[Visit]) == visits
