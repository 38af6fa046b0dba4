"""Those who show a password at the gate: few at a time, and everybody gets a turn. THREAT-T19."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.kernel.gate import (
    GUESTS_MAX,
    GUESTS_OF_LINE_MAX,
    GUESTS_PER_S,
    Gate,
    _guest_line,
)
from tests.kernel.test_gate import LONG_S, Shop, client_of, gate_of, key_of, until

LINE = "/guests/1"
FIRST = "203.0.113.1"
_NO_STATE = cast(Any, SimpleNamespace(state=SimpleNamespace()))


def line_of(address: str, **headers: str) -> str:
    """The line of whoever comes from there."""
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    return _guest_line(_NO_STATE, cast(Any, {"client": (address, 1), "headers": sent}))


def elsewhere() -> Iterator[str]:
    """Addresses that share no line with the first: which do is by chance."""
    number = int(ip_address(FIRST))
    while True:
        number += 1
        if line_of(address := str(ip_address(number))) != line_of(FIRST):
            yield address


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/", "//sign-in"])
async def test_guests_have_few_places_however_many_come_and_whatever_they_show(path: str) -> None:
    shop, places = Shop(gate_of(100, LONG_S)), elsewhere()
    shown = [key_of("a"), key_of("b"), {}]
    async with AsyncExitStack() as stack:
        crowd = []
        for number in range(3 * GUESTS_MAX):
            there = await stack.enter_async_context(client_of(shop, next(places)))
            asked = there.post(f"http://shop{path}", headers=shown[number % 3])
            crowd.append(asyncio.ensure_future(asked))
        await until(lambda: shop.served >= GUESTS_MAX)
        client = await stack.enter_async_context(client_of(shop))
        others = [
            asyncio.ensure_future(ask("/sign-in" if ask == client.get else "/x", headers=headers))
            for headers in (*shown, *shown, *shown)
            for ask in (client.get, client.post)
        ]
        await until(lambda: shop.served >= GUESTS_MAX + 18)
        assert shop.served == GUESTS_MAX + 18
        shop.answer.set()
        answers = await asyncio.gather(*others, *crowd)
    assert {answer.status_code for answer in answers} == {200}


async def test_one_address_leaves_places_for_others() -> None:
    """Negative control: with places for all guests alone the second one waits for the first."""
    shop, place = Shop(gate_of(100, LONG_S)), next(elsewhere())
    async with client_of(shop, FIRST) as many, client_of(shop, place) as one:
        crowd = [asyncio.ensure_future(many.post("/sign-in")) for _ in range(3 * GUESTS_MAX)]
        await until(lambda: shop.served >= GUESTS_OF_LINE_MAX)
        other = asyncio.ensure_future(one.post("/sign-in"))
        await until(lambda: shop.served > GUESTS_OF_LINE_MAX)
        assert shop.served == GUESTS_OF_LINE_MAX + 1
        shop.answer.set()
        answers = await asyncio.gather(other, *crowd)
    assert {answer.status_code for answer in answers} == {200}


def test_addresses_take_turns_for_what_can_be_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: in one line the second address comes after all that the first has sent."""

    async def begun() -> list[str]:
        gate, now = gate_of(100, LONG_S), 100.0
        monkeypatch.setattr(gate, "_time", lambda: now)
        while gate.enter(LINE):
            gate.leave(LINE)
        order: list[str] = []

        async def waits(line: str) -> None:
            assert await gate.wait(line)
            order.append(line)
            gate.leave(line)

        crowd = [asyncio.ensure_future(waits(LINE)) for _ in range(20)]
        await until(lambda: gate.waiting == 20)
        crowd += [asyncio.ensure_future(waits("/guests/2")) for _ in range(3)]
        await until(lambda: gate.waiting == 23)
        now = 200.0
        gate._let_in()
        await asyncio.gather(*crowd)
        return order

    order = asyncio.run(begun())
    assert len(order) == 23
    assert max(place for place, line in enumerate(order) if line != LINE) < 8


def test_guests_begin_no_more_in_a_second_than_can_be_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def begun() -> list[int]:
        gate, times = gate_of(100, LONG_S), (100.0, 100.5, 900.0)
        return [_entered(gate, monkeypatch, now) for now in times]

    assert asyncio.run(begun()) == [GUESTS_PER_S, GUESTS_PER_S // 2, GUESTS_PER_S]


async def test_lines_of_guests_are_not_gone_through_while_there_is_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: with guests' lines among the others' each place left asks 200 of them."""
    gate, asked = gate_of(100, LONG_S), list[str]()
    entered = sum(gate.enter(f"/guests/{number}") for number in range(2 * GUESTS_MAX))
    crowd = [asyncio.ensure_future(gate.wait(f"/guests/{number}")) for number in range(200)]
    await until(lambda: gate.waiting == 200)
    may = gate._may

    def asks(line: str) -> bool:
        asked.append(line)
        return may(line)

    monkeypatch.setattr(gate, "_may", asks)
    assert gate.enter("mer_a")
    gate.leave("mer_a")
    assert (entered, asked) == (GUESTS_MAX, ["mer_a"])
    for each in crowd:
        each.cancel()


def _entered(gate: Gate, monkeypatch: pytest.MonkeyPatch, now: float) -> int:
    """How many come in at that time, one after another, each in a line of their own."""
    monkeypatch.setattr(gate, "_time", lambda: now)
    for count in range(10 * GUESTS_PER_S):
        line = f"/guests/{count}"
        if not gate.enter(line):
            return count
        gate.leave(line)
    raise AssertionError("there is no end")


def test_a_line_is_by_where_somebody_comes_from() -> None:
    lines = {line_of(f"203.0.113.{number}") for number in range(250)}
    assert len(lines) > 100
    assert line_of("2001:db8::1") == line_of("2001:db8::2")
    assert line_of(FIRST, **{"x-forwarded-for": "198.51.100.1"}) == line_of(FIRST)
