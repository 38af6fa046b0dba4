"""The tills of one store: `python -m tests.demo.till --store 2`, started by the demo."""

import argparse
import os
import signal
from typing import Any

from msgspec import Struct, field

from service.rules.luhn import check_digit
from tests.demo import answers
from tests.demo.desk import Ask, Desk, Trail, ask, note, send, send_and_vanish, settle
from tests.demo.messages import Customer, Intent, Mishap, Visit, visit_name
from tests.demo.worker import Shift, work

CASHIERS = 2


class Drawer(Struct):
    """What a store's cashiers remember: sales by request number, each card's balance last seen."""

    sales: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


_drawer = Drawer()


async def serve(shift: Shift, at: Desk, visit: Visit) -> None:
    """One customer at the till."""
    await VISITS[visit.what](at, shift.customers[visit.customer], visit)


async def sell(at: Desk, customer: Customer, visit: Visit) -> None:
    """A basket; topped up first when the card is known to be low, or after a refusal."""
    name = visit_name(at.setup.place, visit.number)
    total = sum(line["total"] for line in visit.lines)
    short = total - _drawer.seen.get(customer.card_id, total)
    if short > 0 and visit.pays_up:
        await _pay(at, customer, f"{name}-before", short)
    missing = await _charge(at, customer, name, visit.mishap)
    if missing and visit.pays_up:
        _drawer.seen[customer.card_id] = total - missing
        await _pay(at, customer, f"{name}-after", missing)
        await _charge(at, customer, f"{name}-2", "none")


async def _charge(at: Desk, customer: Customer, name: str, mishap: Mishap) -> int:
    """Redeem, quoted first now and then; what the card was short of, in minor units."""
    body = redemption(customer.card_number, at.visit.lines, name)
    if at.visit.quoted:
        quote = {part: body[part] for part in ("amount", "sources", "lines")}
        answer = await ask(at, Ask("quote", "/v1/redemptions/quote", quote))
        if not answer.json().get("accepted"):
            return answers.missing(answer)
        body["quote_token"] = answer.json()["quote_token"]
    answer = await ask(at, sale(body, name), mishap)
    if answer.status != 201:
        return answers.missing(answer)
    remember(customer, answer.json())
    _drawer.sales[name] = answer.json()["id"]
    await _blunder(at, body, name)
    return 0


async def _blunder(at: Desk, body: dict[str, Any], name: str) -> None:
    """The wrong card (void), or what no till should do: one sale under two keys, two under one."""
    if at.visit.way == "new_key":
        await ask(at, sale(body, f"{name}-again"))
    elif at.visit.way == "other_amount":
        other = {**body, "amount": {"value": 100, "currency": "CNY"}}
        await ask(at, sale(other, name))
    elif at.visit.way == "void":
        await _void(at, _drawer.sales[name], name)


async def top_up(at: Desk, customer: Customer, visit: Visit) -> None:
    """Cash or a bank card at the till."""
    await _pay(at, customer, visit_name(at.setup.place, visit.number))


async def _pay(at: Desk, customer: Customer, name: str, short: int = 0) -> None:
    """What the customer meant to pay in, or enough for what the card is `short` of."""
    pays = at.setup.templates[at.visit.template].pays
    enough = min((pay for pay in pays if pay >= short), default=max(pays))
    body = {
        "amount": {"value": enough if short else at.visit.pay, "currency": "CNY"},
        "tender": at.visit.tender,
        "till": {"operator": f"{400 + at.visit.number % 20:04}"},
    }
    mishap: Mishap = "none" if short else at.visit.mishap
    wanted = Ask("top_up", f"/v1/cards/{customer.card_id}/top-ups", body, f"{name}-top-up")
    answer = await ask(at, wanted, mishap)
    if answer.status == 201:
        remember(customer, answer.json())


async def give_back(at: Desk, _customer: Customer, visit: Visit) -> None:
    """A sale comes back: all that is left, one of its lines, or part of its amount."""
    sold = await _sale_of(at, visit.earlier)
    if sold is None:
        return
    lines = next(one.lines for one in at.setup.visits if one.number == visit.earlier)
    line = lines[-1]
    bodies: dict[str, dict[str, Any]] = {
        "all": {"reason": "全部退款"},
        "line": {
            "lines": [{"line_id": line["line_id"], "value": line["total"]}],
            "reason": "退一项",
        },
        "half": {
            "amount": {"value": max(1, line["total"] // 2), "currency": "CNY"},
            "reason": "补偿",
        },
    }
    key = f"{visit_name(at.setup.place, visit.number)}-refund"
    path = f"/v1/redemptions/{sold}/refunds"
    await ask(at, Ask("refund", path, bodies[visit.way], key), visit.mishap)


async def void(at: Desk, _customer: Customer, visit: Visit) -> None:
    """An earlier sale was rung up on the wrong card."""
    sold = await _sale_of(at, visit.earlier)
    if sold is not None:
        await _void(at, sold, visit_name(at.setup.place, visit.number))


async def _void(at: Desk, sold: str, name: str) -> None:
    path = f"/v1/redemptions/{sold}/void"
    await ask(at, Ask("void", path, {"reason": "刷错卡"}, f"{name}-void"), at.visit.mishap)


async def _sale_of(at: Desk, number: int) -> str | None:
    """The sale of an earlier visit: remembered, or asked for by its request number."""
    name = visit_name(at.setup.place, number)
    for known in (f"{name}-2", name):
        if known in _drawer.sales:
            return _drawer.sales[known]
    found = await _captured(at, name)
    return None if found is None else str(found["id"])


async def _captured(at: Desk, name: str) -> dict[str, Any] | None:
    """Did it happen? The redemption that a request number led to."""
    answer = await ask(at, Ask("find_sale", f"/v1/redemptions?request_no={name}"))
    happened: list[dict[str, Any]] = [
        one for one in answer.json()["data"] if one["status"] != "refused"
    ]
    return happened[0] if happened else None


async def look_up(at: Desk, customer: Customer, _visit: Visit) -> None:
    """What is on the card?"""
    wanted = Ask("look_up", "/v1/cards/lookup", {"card_number": customer.card_number})
    answer = await ask(at, wanted)
    if answer.status == 200:
        _drawer.seen[customer.card_id] = answer.json()["balances"]["total"]


async def mistype(at: Desk, customer: Customer, visit: Visit) -> None:
    """A number keyed in by hand, wrong: in one digit, or a whole one that nobody has."""
    digits = customer.card_number[:-1]
    place = 4 + visit.number % (len(digits) - 4)
    wrong = digits[:place] + str((int(digits[place]) + 1) % 10) + digits[place + 1 :]
    last = check_digit(wrong) if visit.arrives else customer.card_number[-1]
    name = visit_name(at.setup.place, visit.number)
    await ask(at, sale(redemption(wrong + last, visit.lines, name), name))


async def overspend(at: Desk, customer: Customer, visit: Visit) -> None:
    """A wedding party on one card."""
    name = visit_name(at.setup.place, visit.number)
    await ask(at, sale(redemption(customer.card_number, visit.lines, name), name))


async def give_up(at: Desk, customer: Customer, visit: Visit) -> None:
    """No answer, the customer leaves: undo by key. At times the sale itself comes after that."""
    name = visit_name(at.setup.place, visit.number)
    lost = sale(redemption(customer.card_number, visit.lines, name), name)
    await send_and_vanish(at, lost, visit.arrives)
    await _undo(at, name, "given_up")
    if not visit.arrives:
        await ask(at, lost, fate="too_late")


async def _undo(at: Desk, name: str, fate: str) -> None:
    body = {"idempotency_key": name, "reason": "未收到应答"}
    await ask(at, Ask("reversal", "/v1/reversals", body, f"{name}-undo"), fate=fate)


async def die(at: Desk, customer: Customer, visit: Visit) -> None:
    """The power fails: one sale is sent and not answered, two are in the journal alone."""
    name = visit_name(at.setup.place, visit.number)
    sales = [
        sale(redemption(customer.card_number, visit.lines[:1], one), one)
        for one in (f"{name}-sent", f"{name}-waits", f"{name}-left")
    ]
    for wanted in sales:
        note(wanted, waits=wanted is not sales[2])
    await send(at.line, sales[0])
    os.kill(os.getpid(), signal.SIGKILL)


async def recover(at: Desk) -> None:
    """What the till before this one had begun: ask what is true, then end it one way."""
    for intent in at.setup.unanswered:
        wanted = Ask(intent.kind, intent.path, intent.body, intent.key)
        if intent.kind != "redeem":
            await ask(at, wanted, fate="died")  # its key makes it safe: done, or told again
        else:
            await _recover_sale(at, wanted, intent)


async def _recover_sale(at: Desk, wanted: Ask, intent: Intent) -> None:
    happened = await _captured(at, intent.body["request_no"])
    if happened is not None:
        settle(at, wanted, 200, happened, [], Trail("died", "found"))
    elif intent.waits:
        await ask(at, wanted, fate="died")
    else:
        await _undo(at, intent.key, "died")


def sale(body: dict[str, Any], key: str) -> Ask:
    """A redemption; the key is made before it is sent."""
    return Ask("redeem", "/v1/redemptions", body, key)


def remember(customer: Customer, answer: dict[str, Any]) -> None:
    """The balance on the receipt."""
    _drawer.seen[customer.card_id] = answer["card"]["balances"]["total"]


def redemption(card_number: str, lines: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """A redemption's body."""
    total = sum(line["total"] for line in lines)
    return {
        "request_no": name,
        "amount": {"value": total, "currency": "CNY"},
        "sources": [{"card_number": card_number}],
        "lines": lines,
        "till": {"terminal_id": name.partition("-0")[0], "receipt_no": name.partition("-0")[2]},
    }


VISITS = {
    "sell": sell,
    "top_up": top_up,
    "give_back": give_back,
    "void": void,
    "look_up": look_up,
    "mistype": mistype,
    "overspend": overspend,
    "give_up": give_up,
    "die": die,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="The tills of one store; its setup comes on stdin."
    )
    parser.add_argument("--store", type=int, required=True, help="for whoever lists processes")
    parser.parse_args()
    work(serve, CASHIERS, recover)
