"""The mini-program's backend: `python -m tests.demo.mini_program`, started by the demo."""

from msgspec import Struct

from tests.demo.desk import Ask, Desk, ask, report
from tests.demo.messages import Customer, Visit, visit_name
from tests.demo.till import redemption
from tests.demo.worker import Shift, work

THREADS = 2


class Tap(Struct, frozen=True):
    """A visit by phone: the desk, the decisions, the name of its keys, the card."""

    at: Desk
    visit: Visit
    name: str
    card_id: str


async def serve(shift: Shift, at: Desk, visit: Visit) -> None:
    """One tap of somebody with a phone."""
    name = visit_name(at.setup.place, visit.number)
    if visit.what == "join":
        await join(shift, at, visit, name)
    else:
        card_id = shift.customers[visit.customer].card_id
        await TAPS[visit.what](Tap(at, visit, name, card_id))


async def join(shift: Shift, at: Desk, visit: Visit, name: str) -> None:
    """A new customer: a virtual card, a first top-up, and off to a store with it."""
    template = at.setup.templates[visit.template]
    body = {"template_id": template.template_id, "activate": True}
    wanted = Ask("issue", "/v1/cards", body, f"{name}-issue")
    card = (await ask(at, wanted, visit.mishap)).json()
    customer = Customer(visit.customer, card["id"], card["card_number"])
    shift.customers[visit.customer] = customer
    await top_up(Tap(at, visit, name, card["id"]))
    report(customer)


async def top_up(tap: Tap) -> None:
    """Paid by phone."""
    visit = tap.visit
    body = {
        "amount": {"value": visit.pay, "currency": "CNY"},
        "tender": visit.tender,
        "payment_reference": f"42{visit.number:016}",
        "store_id": tap.at.setup.stores[visit.store].store_id,
    }
    path = f"/v1/cards/{tap.card_id}/top-ups"
    await ask(tap.at, Ask("top_up", path, body, f"{tap.name}-top-up"), visit.mishap)


async def order(tap: Tap) -> None:
    """An appointment paid ahead, by card id, at a store of the customer's choice."""
    body = redemption("", tap.visit.lines, tap.name)
    body["sources"] = [{"card_id": tap.card_id}]
    body["store_id"] = tap.at.setup.stores[tap.visit.store].store_id
    await ask(tap.at, Ask("redeem", "/v1/redemptions", body, tap.name), tap.visit.mishap)


async def look(tap: Tap) -> None:
    """My card."""
    await ask(tap.at, Ask("read_card", f"/v1/cards/{tap.card_id}"))


async def statement(tap: Tap) -> None:
    """What happened to my card."""
    await ask(tap.at, Ask("statement", f"/v1/cards/{tap.card_id}/statement?limit=50"))


async def freeze(tap: Tap) -> None:
    """Lost my phone."""
    path = f"/v1/cards/{tap.card_id}/freeze"
    await ask(tap.at, Ask("freeze", path, {"reason": "手机丢失"}, f"{tap.name}-freeze"))


async def unfreeze(tap: Tap) -> None:
    """Found it."""
    path = f"/v1/cards/{tap.card_id}/unfreeze"
    await ask(tap.at, Ask("unfreeze", path, {}, f"{tap.name}-unfreeze"))


async def payment_failed(tap: Tap) -> None:
    """The bank took a top-up's payment back: undo it by its key, unless it is spent."""
    target = f"{visit_name(tap.at.setup.place, tap.visit.earlier)}-top-up"
    body = {"idempotency_key": target, "reason": "支付失败"}
    await ask(tap.at, Ask("payment_failed", "/v1/reversals", body, f"{tap.name}-undo"))


TAPS = {
    "top_up": top_up,
    "order": order,
    "look": look,
    "statement": statement,
    "freeze": freeze,
    "unfreeze": unfreeze,
    "payment_failed": payment_failed,
}

if __name__ == "__main__":
    work(serve, THREADS)
