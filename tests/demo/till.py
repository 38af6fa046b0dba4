"""The tills of one store: `python -m tests.demo.till --store 2`, started by the demo."""

import argparse
from collections import deque
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from service.rules.luhn import check_digit
from tests.demo.desk import Ask, Desk, ask, by_account, mishap, send_and_vanish
from tests.demo.messages import Customer, Entry
from tests.demo.wares import ZONE, basket, basket_line
from tests.demo.worker import Shift, work
from tests.harness.client import Response

CASHIERS = 2
RECENT_MAX = 100
_ZONE = ZoneInfo(ZONE)


class Sale(Struct):
    """A captured redemption that may come back."""

    redemption_id: str
    lines: list[dict[str, Any]]


class Drawer(Struct):
    """What a store's cashiers remember: recent sales, each card's balance when last seen."""

    sales: deque[Sale] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))
    seen: dict[str, int] = field(default_factory=dict)


_drawer = Drawer()


async def visit(shift: Shift, at: Desk, number: int) -> None:
    """One customer at the till."""
    await shift.somebody_came.wait()
    if not shift.customers:
        return
    customer = at.luck.choice(shift.customers)
    request_no = f"{at.setup.role}-{number:06}"
    what = at.luck.choices(
        (sell, top_up, give_back, void, look_up, mistype, overspend, give_up),
        (64, 10, 10, 1, 5, 2, 2, 3),
    )[0]
    await what(at, customer, request_no)


async def sell(at: Desk, customer: Customer, request_no: str) -> None:
    """A basket; topped up first when the card is known to be low, else often after a refusal."""
    lines = basket(at.luck)
    total = sum(line["total"] for line in lines)
    short = total - _drawer.seen.get(customer.card_id, total)
    if short > 0 and at.luck.random() < 0.85:
        await top_up(at, customer, f"{request_no}-before", short)
    missing = await _charge(at, customer, lines, request_no)
    if missing:
        _drawer.seen[customer.card_id] = total - missing
        if at.luck.random() < 0.7:
            await top_up(at, customer, f"{request_no}-after", missing)
            await _charge(at, customer, lines, f"{request_no}-2")


async def _charge(
    at: Desk, customer: Customer, lines: list[dict[str, Any]], request_no: str
) -> int:
    """Redeem, quoted first now and then; what the card was short of, in minor units."""
    body = redemption(customer.card_number, lines, request_no)
    if at.luck.random() < 0.2:
        quote = {name: body[name] for name in ("amount", "sources", "lines")}
        answer = await ask(at, Ask("quote", "/v1/redemptions/quote", quote))
        if not answer.json().get("accepted"):
            return _missing(answer)
        body["quote_token"] = answer.json()["quote_token"]
    answer = await ask(at, sale(at, body, request_no), mishap(at.luck))
    if answer.status != 201:
        return _missing(answer)
    remember(customer, answer.json())
    _drawer.sales.append(Sale(answer.json()["id"], lines))
    await _blunder(at, customer, body, request_no)
    return 0


def _missing(answer: Response) -> int:
    """What the card was short of, in minor units."""
    return sum(reason.get("missing_minor", 0) for reason in answer.json()["reasons"])


async def _blunder(at: Desk, customer: Customer, body: dict[str, Any], request_no: str) -> None:
    """The wrong card (void), or what no till should do: one sale under two keys, two under one."""
    luck = at.luck.random()
    if luck < 0.01:
        await ask(at, sale(at, body, f"{request_no}-again"))
    elif luck < 0.02:
        other = {**body, "amount": {"value": 100, "currency": "CNY"}}
        await ask(at, sale(at, other, request_no))
    elif luck < 0.06:
        await void(at, customer, request_no)


async def top_up(at: Desk, customer: Customer, request_no: str, short: int = 0) -> None:
    """Cash or a bank card at the till: enough for what the card is short of, if any."""
    pays = [pay for template in at.setup.templates for pay in template.pays]
    enough = min((pay for pay in pays if pay >= short), default=max(pays))
    pay = enough if short else at.luck.choice(pays)
    body = {
        "amount": {"value": pay, "currency": "CNY"},
        "tender": at.luck.choice(("cash", "bank_card")),
        "till": {"operator": f"{at.luck.randrange(400, 420):04}"},
    }
    path = f"/v1/cards/{customer.card_id}/top-ups"
    answer = await ask(
        at, Ask("top_up", path, body, f"{request_no}-top-up", topped), mishap(at.luck)
    )
    if answer.status == 201:
        remember(customer, answer.json())


async def give_back(at: Desk, _customer: Customer, request_no: str) -> None:
    """A sale comes back: all that is left, one of its lines, or part of its amount."""
    if not _drawer.sales:
        return
    sold = at.luck.choice(_drawer.sales)
    line = at.luck.choice(sold.lines)
    body = at.luck.choice(
        (
            {"reason": "全部退款"},
            {"lines": [{"line_id": line["line_id"], "value": line["total"]}], "reason": "退一项"},
            {"amount": {"value": max(1, line["total"] // 2), "currency": "CNY"}, "reason": "补偿"},
        )
    )
    path = f"/v1/redemptions/{sold.redemption_id}/refunds"
    wanted = Ask("refund", path, body, f"{request_no}-refund", _given("refund"))
    await ask(at, wanted, mishap(at.luck))


async def void(at: Desk, _customer: Customer, request_no: str) -> None:
    """The last sale was rung up on the wrong card."""
    if not _drawer.sales:
        return
    path = f"/v1/redemptions/{_drawer.sales[-1].redemption_id}/void"
    wanted = Ask("void", path, {"reason": "刷错卡"}, f"{request_no}-void", _given("void"))
    await ask(at, wanted, mishap(at.luck))


async def look_up(at: Desk, customer: Customer, _request_no: str) -> None:
    """What is on the card?"""
    wanted = Ask("look_up", "/v1/cards/lookup", {"card_number": customer.card_number})
    answer = await ask(at, wanted)
    if answer.status == 200:
        _drawer.seen[customer.card_id] = answer.json()["balances"]["total"]


async def mistype(at: Desk, customer: Customer, request_no: str) -> None:
    """A number keyed in by hand, wrong: in one digit, or a whole one that nobody has."""
    digits = customer.card_number[:-1]
    place = at.luck.randrange(4, len(digits))
    wrong = digits[:place] + str((int(digits[place]) + 1) % 10) + digits[place + 1 :]
    last = at.luck.choice((customer.card_number[-1], check_digit(wrong)))
    body = redemption(wrong + last, basket(at.luck), request_no)
    await ask(at, sale(at, body, request_no))


async def overspend(at: Desk, customer: Customer, request_no: str) -> None:
    """A wedding party on one card."""
    lines = [basket_line("1", "PERM", 14, 0), basket_line("2", "DYE", 14, 0)]
    await ask(at, sale(at, redemption(customer.card_number, lines, request_no), request_no))


async def give_up(at: Desk, customer: Customer, request_no: str) -> None:
    """No answer, the customer leaves: undo by key. At times the sale itself comes after that."""
    body = redemption(customer.card_number, basket(at.luck), request_no)
    lost = sale(at, body, request_no)
    arrives = at.luck.random() < 0.6
    await send_and_vanish(at, lost, arrives)
    undo = {"idempotency_key": request_no, "reason": "未收到应答"}
    wanted = Ask("reversal", "/v1/reversals", undo, f"{request_no}-undo", undone)
    await ask(at, wanted, mishap(at.luck))
    if not arrives:
        await ask(at, lost)


def undone(answer: dict[str, Any]) -> list[Entry]:
    """A redemption nobody was told of: it happened and was reversed, or never did."""
    if answer["outcome"] != "reversed":
        return []
    taken = by_account("redeem", answer["target_id"], answer["allocations"])
    back = by_account("redeem_reversed", answer["id"], answer["allocations"])
    return [taken, back]


def topped(answer: dict[str, Any]) -> list[Entry]:
    """What a top-up credited."""
    return [Entry("top_up", answer["id"], answer["paid"]["value"], answer["bonus"]["value"])]


def redeemed(answer: dict[str, Any]) -> list[Entry]:
    """What a redemption took."""
    return [by_account("redeem", answer["id"], answer["allocations"])]


def _given(flow: str) -> Any:
    return lambda answer: [by_account(flow, answer["id"], answer["allocations"])]


def sale(at: Desk, body: dict[str, Any], key: str) -> Ask:
    """A redemption; the key is made before it is sent."""
    return Ask("redeem", "/v1/redemptions", body, key, redeemed, late_night)


def late_night(answer: dict[str, Any]) -> bool:
    """Booked on the day before, because the store's day goes on after midnight."""
    at = datetime.fromisoformat(answer["recorded_at"]).astimezone(_ZONE)
    return date.fromisoformat(answer["business_date"]) < at.date()


def remember(customer: Customer, answer: dict[str, Any]) -> None:
    """The balance on the receipt."""
    _drawer.seen[customer.card_id] = answer["card"]["balances"]["total"]


def redemption(card_number: str, lines: list[dict[str, Any]], request_no: str) -> dict[str, Any]:
    """A redemption's body."""
    total = sum(line["total"] for line in lines)
    return {
        "request_no": request_no,
        "amount": {"value": total, "currency": "CNY"},
        "sources": [{"card_number": card_number}],
        "lines": lines,
        "till": {"terminal_id": request_no.rpartition("-")[0], "receipt_no": request_no[-6:]},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="The tills of one store; its setup comes on stdin."
    )
    parser.add_argument("--store", type=int, required=True, help="for whoever lists processes")
    parser.parse_args()
    work(visit, CASHIERS)
