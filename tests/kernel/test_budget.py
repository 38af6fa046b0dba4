"""What a tenant of a shared service may begin in a second."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from service.kernel import budget
from service.kernel.budget import Budget
from service.kernel.gate import Gate


def begun(own: Budget, tenant: str, now: float) -> bool:
    if not own.allows(tenant, now):
        return False
    own.spend(tenant, now)
    return True


def test_a_second_is_saved_up_and_no_more() -> None:
    own = Budget(5.0)
    assert sum(begun(own, "a", 100.0) for _ in range(20)) == 5
    assert sum(begun(own, "a", 100.4) for _ in range(20)) == 2
    assert sum(begun(own, "a", 900.0) for _ in range(20)) == 5


def test_each_tenant_has_its_own() -> None:
    own = Budget(1.0)
    assert [begun(own, tenant, 0.0) for tenant in "aabb"] == [True, False, True, False]


def test_less_than_one_a_second_still_lets_one_begin() -> None:
    own = Budget(0.5)
    assert [begun(own, "a", now) for now in (0.0, 1.0, 2.0, 3.0)] == [True, False, True, False]


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(1, 9))
def test_never_more_than_the_rate_and_a_second(steps: list[float], per_s: float) -> None:
    own, now, count = Budget(per_s), 0.0, 0
    for step in steps:
        now += step
        count += begun(own, "a", now)
        assert count <= per_s * (now + budget.BURST_S) + 1e-6


def test_tenants_that_came_once_are_forgotten() -> None:
    own = Budget(1.0)
    for number in range(3 * budget.TENANTS_MAX):
        own.spend(f"t{number}", number / 1000)
    assert len(vars(own)["_left"]) <= budget.TENANTS_MAX
    assert not begun(own, f"t{3 * budget.TENANTS_MAX - 1}", 3 * budget.TENANTS_MAX / 1000)


async def test_a_tenant_that_has_spent_its_budget_waits_for_more() -> None:
    gate = Gate(8, wait_s=60.0, deadline_s=600.0, tenant_per_s=1.0)
    assert gate.enter("busy")
    assert not gate.enter("busy")
    waiting = asyncio.ensure_future(gate.wait("busy"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert gate.enter("other")
    assert await waiting


async def test_whom_a_worker_does_not_know_yet_has_places_but_no_budget() -> None:
    """After a start all are strangers; a budget for all of them together would shut them out."""
    gate = Gate(8, wait_s=60.0, deadline_s=600.0, tenant_per_s=1.0)
    for _ in range(20):
        assert gate.enter("")
        gate.leave("")
