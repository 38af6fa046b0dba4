"""The mini-program's backend: `python -m tests.demo.mini_program`, started by the demo."""

from collections import deque
from typing import Any

from msgspec import Struct, field

from tests.demo.desk import Ask, Desk, ask, by_account, mishap, report
from tests.demo.messages import Customer, Entry
from tests.demo.till import late_night, redeemed, redemption, topped
from tests.demo.wares import basket
from tests.demo.worker import Shift, work

THREADS = 2
CARDS_MAX = 400
# The first in the queue on the opening day: all of them want a card.
OPENING = 15


class Memory(Struct):
    """What the backend remembers: cards it froze, and top-ups whose payment may still fail."""

    frozen: deque[Customer] = field(default_factory=deque)
    unpaid: deque[str] = field(default_factory=lambda: deque(maxlen=20))


_memory = Memory()


async def visit(shift: Shift, at: Desk, number: int) -> None:
    """One tap of somebody with a phone."""
    name = f"{at.setup.role}-{number:06}"
    what = at.luck.choices(
        (None, top_up, order, look, statement, freeze, unfreeze, payment_failed),
        (16, 16, 16, 22, 14, 4, 6, 5),
    )[0]
    room = len(shift.customers) < CARDS_MAX
    if number < OPENING or not shift.customers or (what is None and room):
        shift.customers.append(await join(at, name))
    elif what is not None:
        await what(at, at.luck.choice(shift.customers), name)


async def join(at: Desk, name: str) -> Customer:
    """A new customer: a virtual card, mostly a first top-up, and off to a store with it."""
    template = at.luck.choices(at.setup.templates, (7, 3))[0]
    body = {"template_id": template.template_id, "activate": True}
    wanted = Ask("issue", "/v1/cards", body, f"{name}-issue", _issued)
    card = (await ask(at, wanted, mishap(at.luck))).json()
    customer = Customer(card["id"], card["card_number"])
    if at.luck.random() < 0.9:
        await _pay(at, customer, name, at.luck.choice(template.pays))
    report(customer)
    return customer


async def top_up(at: Desk, customer: Customer, name: str) -> None:
    """Paid by phone."""
    template = at.luck.choice(at.setup.templates)
    await _pay(at, customer, name, at.luck.choice(template.pays))


async def _pay(at: Desk, customer: Customer, name: str, pay: int) -> None:
    body = {
        "amount": {"value": pay, "currency": "CNY"},
        "tender": at.luck.choice(("wechat_pay", "alipay")),
        "payment_reference": f"42{at.luck.randrange(10**16):016}",
        "store_id": at.luck.choice(at.setup.stores).store_id,
    }
    key = f"{name}-top-up"
    wanted = Ask("top_up", f"/v1/cards/{customer.card_id}/top-ups", body, key, topped)
    answer = await ask(at, wanted, mishap(at.luck))
    if answer.status == 201:
        _memory.unpaid.append(key)


async def order(at: Desk, customer: Customer, name: str) -> None:
    """An appointment paid ahead, by card id, at a store of the customer's choice."""
    body = redemption("", basket(at.luck), name)
    body["sources"] = [{"card_id": customer.card_id}]
    body["store_id"] = at.luck.choice(at.setup.stores).store_id
    wanted = Ask("redeem", "/v1/redemptions", body, name, redeemed, late_night)
    await ask(at, wanted, mishap(at.luck))


async def look(at: Desk, customer: Customer, _name: str) -> None:
    """My card."""
    await ask(at, Ask("read_card", f"/v1/cards/{customer.card_id}"))


async def statement(at: Desk, customer: Customer, _name: str) -> None:
    """What happened to my card."""
    await ask(at, Ask("statement", f"/v1/cards/{customer.card_id}/statement?limit=50"))


async def freeze(at: Desk, customer: Customer, name: str) -> None:
    """Lost my phone."""
    path = f"/v1/cards/{customer.card_id}/freeze"
    answer = await ask(at, Ask("freeze", path, {"reason": "手机丢失"}, f"{name}-freeze"))
    if answer.status == 200:
        _memory.frozen.append(customer)


async def unfreeze(at: Desk, _customer: Customer, name: str) -> None:
    """Found it; at least two cards stay frozen, for the tills to meet."""
    if len(_memory.frozen) < 3:
        return
    path = f"/v1/cards/{_memory.frozen.popleft().card_id}/unfreeze"
    await ask(at, Ask("unfreeze", path, {}, f"{name}-unfreeze"))


async def payment_failed(at: Desk, _customer: Customer, name: str) -> None:
    """The bank took a top-up's payment back: undo it by its key, unless it is spent."""
    if not _memory.unpaid:
        return
    body = {"idempotency_key": _memory.unpaid.pop(), "reason": "支付失败"}
    await ask(at, Ask("reversal", "/v1/reversals", body, f"{name}-undo", _taken_back))


def _taken_back(answer: dict[str, Any]) -> list[Entry]:
    if answer["outcome"] != "reversed":
        return []
    return [by_account("top_up_reversed", answer["id"], answer["allocations"])]


def _issued(answer: dict[str, Any]) -> list[Entry]:
    return [Entry("issue", answer["id"], 0, 0)]


if __name__ == "__main__":
    work(visit, THREADS)
