"""Who is served, who waits and who is turned away; design section 4, THREAT-T26 and T30."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.problems import Problem
from service.kernel import metrics
from service.kernel.auth import Credential
from service.kernel.gate import REFUSALS_PER_S, Gate, gated
from tests.kernel import cups
from tests.kernel.cups import problem

SOON_S, LONG_S = 0.05, 60.0


def gate_of(served_max: int, wait_s: float) -> Gate:
    return Gate(served_max, wait_s, 3 * wait_s)


def waiting(gate: Gate, tenant: str) -> "asyncio.Task[bool]":
    assert not gate.enter(tenant)
    return asyncio.ensure_future(gate.wait(tenant))


async def until(true: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def until_waiting(gate: Gate, count: int) -> None:
    await until(lambda: gate.waiting >= count)


async def test_a_place_that_is_left_goes_to_who_has_waited_longest() -> None:
    gate = gate_of(1, LONG_S)
    assert gate.enter("a")
    first, second = waiting(gate, "a"), waiting(gate, "a")
    await until_waiting(gate, 2)
    gate.leave("a")
    assert await first
    assert not second.done()
    gate.leave("a")
    assert await second


async def test_who_waits_is_not_overtaken_by_who_comes() -> None:
    gate = gate_of(1, LONG_S)
    assert gate.enter("a")
    first = waiting(gate, "a")
    await until_waiting(gate, 1)
    gate.leave("a")
    assert not gate.enter("a")
    assert await first


async def test_no_tenant_has_all_places() -> None:
    gate = gate_of(8, LONG_S)
    taken = sum(gate.enter("greedy") for _ in range(8))
    assert taken == 6
    assert [gate.enter("other"), gate.enter("other"), gate.enter("other")] == [True, True, False]


async def test_tenants_take_turns_and_who_is_new_comes_first() -> None:
    gate = gate_of(4, LONG_S)
    assert [gate.enter(tenant) for tenant in ("greedy", "greedy", "other", "other")] == [True] * 4
    order: list[str] = []

    async def one(tenant: str) -> None:
        assert await gate.wait(tenant)
        order.append(tenant)
        gate.leave(tenant)

    tasks = []
    for tenant in ("greedy", "greedy", "greedy", "b", "c", "b"):
        tasks.append(asyncio.create_task(one(tenant)))
        await until_waiting(gate, len(tasks))
    gate.leave("other")
    await asyncio.gather(*tasks)
    assert order == ["c", "b", "greedy", "b", "greedy", "greedy"]


async def test_who_gets_no_place_in_time_is_turned_away() -> None:
    gate = gate_of(1, SOON_S)
    assert gate.enter("a")
    assert not await gate.wait("a")
    assert gate.waiting == 0
    gate.leave("a")
    assert gate.enter("a")


async def test_only_so_many_are_turned_away_in_a_second() -> None:
    """A large crowd waits longer, until half of the time is over in which each must be answered."""
    loop = asyncio.get_running_loop()
    wait_s, deadline_s = 0.1, 2.0
    gate = Gate(1, wait_s, deadline_s)
    assert gate.enter("a")
    began = loop.time()

    async def one() -> float:
        assert not await gate.wait("a")
        return loop.time() - began

    crowd = 2 * REFUSALS_PER_S
    waited = sorted(await asyncio.gather(*(one() for _ in range(crowd))))
    assert waited[0] >= wait_s
    assert sum(each < deadline_s / 2 for each in waited) < crowd * 3 / 4
    assert waited[-1] < deadline_s


async def test_the_number_that_waits_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(metrics, "set_waiting", told.append)
    gate = gate_of(1, SOON_S)
    assert gate.enter("a")
    assert not any(await asyncio.gather(gate.wait("a"), gate.wait("b")))
    assert told[0] == 2
    assert told[-1] == 0


async def test_a_client_that_leaves_takes_no_place() -> None:
    gate = gate_of(1, LONG_S)
    assert gate.enter("a")
    gone, patient = waiting(gate, "a"), waiting(gate, "a")
    await until_waiting(gate, 2)
    gone.cancel()
    await asyncio.wait([gone])
    gate.leave("a")
    assert await patient


async def test_a_client_that_leaves_as_its_turn_comes_gives_the_place_on() -> None:
    gate = gate_of(1, LONG_S)
    assert gate.enter("a")
    gone, patient = waiting(gate, "a"), waiting(gate, "a")
    await until_waiting(gate, 2)
    gate.leave("a")  # it is gone's turn; it hasn't run yet
    gone.cancel()
    await asyncio.wait([gone])
    assert await patient


@settings(max_examples=150, deadline=None)
@given(
    served_max=st.integers(1, 6),
    steps=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["come", "come", "leave", "cancel"])),
        max_size=60,
    ),
    seed=st.integers(0, 2**16),
)
def test_places_are_neither_lost_nor_made(
    served_max: int, steps: list[tuple[str, str]], seed: int
) -> None:
    asyncio.run(_walk(served_max, steps, random.Random(seed)))


async def _walk(served_max: int, steps: list[tuple[str, str]], pick: random.Random) -> None:
    """Never too many, and nobody waits for a place that it could have."""
    gate = gate_of(served_max, LONG_S)
    served: list[str] = []
    tasks: dict[asyncio.Task[bool], str] = {}

    async def settle() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        for task in [task for task in tasks if task.done()]:
            tenant = tasks.pop(task)
            if not task.cancelled():
                assert task.result()
                served.append(tenant)

    most = max(1, served_max * 3 // 4)
    for tenant, step in steps:
        if step == "come":
            if gate.enter(tenant):
                served.append(tenant)
            else:
                tasks[asyncio.ensure_future(gate.wait(tenant))] = tenant
        elif step == "leave" and served:
            gate.leave(served.pop(pick.randrange(len(served))))
        elif step == "cancel" and tasks:
            pick.choice(list(tasks)).cancel()
        if pick.random() < 0.7:
            await settle()
    await settle()
    counts = Counter(served)
    assert len(served) <= served_max
    assert all(count <= most for count in counts.values())
    if len(served) < served_max:
        assert all(counts[tenant] == most for tenant in tasks.values())
    assert gate.waiting >= len(tasks)
    while served or tasks:
        while served:
            gate.leave(served.pop())
        await settle()
    assert sum(gate.enter(f"t{number}") for number in range(served_max)) == served_max


class Shop:
    """A tiny application behind a gate; `answer` lets everybody go."""

    def __init__(self, gate: Gate) -> None:
        self.answer = asyncio.Event()
        self.served = 0
        state = SimpleNamespace(state=SimpleNamespace(gate=gate, recognised=recognised))
        self.asgi = gated(self._serve, cast(Any, state), ["/live"], ["/sign-in"])

    async def _serve(self, scope: Any, _receive: Any, send: Any) -> None:
        self.served += 1
        if scope["path"] != "/live":
            await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})


@asynccontextmanager
async def client_of(shop: Shop, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=cast(Any, shop.asgi), client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


def recognised(text: str) -> Credential | None:
    """Keys are `key-of-a`, members' tokens `token-of-a`; whatever else is shown is a stranger's."""
    kind, _, tenant = text.partition("-of-")
    if not tenant:
        return None
    member_id = "mbr_1" if kind == "token" else None
    return Credential(f"mer_{tenant}", "key_1", b"", frozenset(), None, None, 1, member_id)


def key_of(tenant: str) -> dict[str, str]:
    return {"Authorization": f"Bearer key-of-{tenant}"}


async def test_turned_away_is_a_problem_that_says_when_to_come_again() -> None:
    shop = Shop(gate_of(1, SOON_S))
    async with client_of(shop) as client:
        first = asyncio.ensure_future(client.post("/v1/redemptions", headers=key_of("a")))
        await until(lambda: shop.served > 0)
        refused = await client.post("/v1/redemptions", headers=key_of("a"))
        again = await client.post("/v1/redemptions", headers=key_of("b"))
        alive = await client.get("/live")
        shop.answer.set()
        assert (await first).status_code == 200
    told: Problem = problem(refused)
    assert (told.status, told.code, told.outcome, told.retry) == (
        *(503, "overloaded"),
        *("not_applied", "same_key"),
    )
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["cache-control"] == "no-store"
    assert problem(again).request_id != told.request_id
    assert alive.status_code == 200
    assert shop.served == 2


async def test_a_crowd_of_one_tenant_leaves_a_place_for_another() -> None:
    shop = Shop(gate_of(4, LONG_S))
    async with client_of(shop) as client:
        crowd = [asyncio.ensure_future(client.get("/x", headers=key_of("a"))) for _ in range(8)]
        await until(lambda: shop.served >= 3)
        other = asyncio.ensure_future(client.get("/x", headers=key_of("b")))
        await until(lambda: shop.served >= 4)
        shop.answer.set()
        assert {answer.status_code for answer in await asyncio.gather(other, *crowd)} == {200}


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer made-up")],
        [("Authorization", "Bearer token-of-a")],
        [("Authorization", "Bearer key-of-a"), ("Authorization", "Bearer key-of-b")],
        [("Authorization", "Basic key-of-a")],
        [],
    ],
    ids=["made up", "a member", "two keys", "no bearer", "nothing"],
)
async def test_strangers_and_phones_have_a_quarter_of_the_places_together(
    headers: list[tuple[str, str]],
) -> None:
    """Nobody gets into a merchant's line by naming it, nor a line of its own by naming another."""
    shop = Shop(gate_of(8, LONG_S))
    async with client_of(shop) as client:
        crowd = [asyncio.ensure_future(client.get("/x", headers=headers)) for _ in range(8)]
        await until(lambda: shop.served >= 2)
        tills = [
            asyncio.ensure_future(client.get("/x", headers=key_of(tenant))) for tenant in "aaabbb"
        ]
        await until(lambda: shop.served >= 8)
        assert not any(each.done() for each in crowd)
        shop.answer.set()
        assert {answer.status_code for answer in await asyncio.gather(*tills, *crowd)} == {200}
    assert shop.served == 14


async def test_whoever_invents_a_name_for_each_request_is_one_stranger() -> None:
    shop = Shop(gate_of(8, LONG_S))
    async with client_of(shop) as client:
        crowd = [
            asyncio.ensure_future(client.get("/x", headers={"Authorization": f"Bearer n{number}"}))
            for number in range(20)
        ]
        await until(lambda: shop.served >= 2)
        tills = [asyncio.ensure_future(client.get("/x", headers=key_of("a"))) for _ in range(6)]
        await until(lambda: shop.served >= 8)
        shop.answer.set()
        await asyncio.gather(*tills, *crowd)


async def never_whole() -> AsyncIterator[bytes]:
    yield b'{"size": 1'
    await asyncio.Event().wait()


Send = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@pytest.mark.parametrize(
    ("send", "code", "outcome"),
    [
        (lambda client: client.get("/v1/cups/endless"), "unavailable", "not_applied"),
        (
            lambda client: cups.post(client, b'{"size": 1, "note": "endless"}'),
            "outcome_unknown",
            "unknown",
        ),
        (lambda client: cups.post(client, never_whole()), "unavailable", "not_applied"),
        (lambda client: client.post("/v1/cups/endless"), "unavailable", "unknown"),
    ],
    ids=["reading", "writing", "a body that never ends", "writing without a key"],
)
async def test_what_takes_too_long_is_answered_in_time(send: Send, code: str, outcome: str) -> None:
    async with cups.cup_client(limit_s=SOON_S) as client:
        told = problem(await send(client))
    assert (told.status, told.code, told.outcome) == (503, code, outcome)
    assert told.retry == "same_key"


async def test_what_has_bounds_of_its_own_is_left_alone() -> None:
    async with cups.cup_client(limit_s=SOON_S) as client:
        assert (await client.get("/v1/cups/report")).status_code == 200
