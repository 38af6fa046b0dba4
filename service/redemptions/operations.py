"""The story of a redemption: who pays, where, then one trip through the door."""

from schemas.common import Total
from schemas.redemptions import (
    Line,
    Quote,
    QuoteRequest,
    RedemptionCreate,
    RedemptionList,
    RefundCreate,
    Source,
    VoidCreate,
)
from service.approvals import operations as approvals
from service.kernel.problems import ProblemError, ReasonCode, because, define_reason
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger import answers, door, quotes
from service.ledger.commands import Redeem, Refund, Void
from service.ledger.decisions.outcome import Refused, Rejected
from service.ledger.decisions.redemptions import payable
from service.ledger.reading import own, reading
from service.ledger.reasons import UNPROCESSABLE
from service.redemptions import store
from service.rules import basket

SOURCE_AMBIGUOUS = define_reason(
    "source_ambiguous", "Name the card by card_number or by card_id, one of them."
)
AMOUNT_AND_LINES = define_reason("amount_and_lines", "Name an amount or lines, not both.")
DUPLICATE_LINE = define_reason("duplicate_line", "A line is named twice.")
BASKET_CONTRADICTION = define_reason(
    "basket_contradiction", "The lines must add up, each in itself and together to the amount."
)


async def create(call: Call, body: RedemptionCreate) -> Answer:
    """Take an amount from a card, once."""
    _require_sound(body.lines, body.amount.value)
    store_id = door.store_of(call, body.store_id)
    number, by_number = await _card(call, body.sources[0])
    intent = Redeem(
        body.request_no,
        body.amount.value,
        body.amount.currency,
        body.lines,
        by_number,
        body.quote_token,
        body.expected_payable,
    )
    return await door.perform(call, body, intent, number, store_id, body.till)


async def quote(call: Call, body: QuoteRequest) -> Answer:
    """What a redemption would do now: the same decision, nothing posted."""
    _require_sound(body.lines, body.amount.value)
    store_id = door.store_of(call, body.store_id)
    number, by_number = await _card(call, body.sources[0])
    intent = Redeem("", body.amount.value, body.amount.currency, body.lines, by_number, None, None)
    view, decision = await door.consider(call, intent, number, store_id)
    if isinstance(decision, Rejected):
        raise decision.error
    due = Total(payable(intent), body.amount.currency)
    if isinstance(decision, Refused):
        return json_answer(200, Quote(False, due, [], decision.reasons, None, None))
    redemption = decision.own.redemption
    assert redemption is not None and view.card is not None
    token, expires_at = quotes.token(view, view.card, intent, due.value)
    drawn = answers.allocations(redemption.card_id, redemption.allocation)
    return json_answer(200, Quote(True, due, drawn, [], token, expires_at))


async def find(call: Call, _: None) -> Answer:
    """The redemptions of a store with one request number."""
    store_id = door.store_of(call, call.query.store_id)
    async with reading(call) as tenant:
        found = await store.by_request_no(tenant, store_id, call.query.request_no)
    return json_answer(200, RedemptionList(found))


async def read(call: Call, _: None) -> Answer:
    """One redemption as it is now."""
    redemption_id = object_id(call, "redemption_id", "rdm")
    async with reading(call) as tenant:
        return json_answer(200, own(call, await store.by_id(tenant, redemption_id)))


async def refund(call: Call, body: RefundCreate) -> Answer:
    """Give back part or all."""
    lines = body.lines or []
    if body.amount is not None and lines:
        raise _contradiction(AMOUNT_AND_LINES, "$.lines")
    line_ids = [line.line_id for line in lines]
    if len(set(line_ids)) != len(line_ids):
        raise _contradiction(DUPLICATE_LINE, "$.lines")
    redemption_id = object_id(call, "redemption_id", "rdm")
    number, store_id = await door.locate(call, "ledger.locate_redemption", redemption_id)
    amount, currency = (body.amount.value, body.amount.currency) if body.amount else (None, None)
    intent = Refund(
        redemption_id,
        amount,
        currency,
        {line.line_id: line.value for line in lines},
        body.reason,
    )
    named = sum(intent.lines.values()) or amount
    await approvals.require_ahead(
        call, "refund", body, redemption_id, store_id, amount=named, till=body.till
    )
    return await door.perform(call, body, intent, number, store_id, body.till)


async def void(call: Call, body: VoidCreate) -> Answer:
    """Undo a whole redemption on its business date."""
    redemption_id = object_id(call, "redemption_id", "rdm")
    number, store_id = await door.locate(call, "ledger.locate_redemption", redemption_id)
    await approvals.require_ahead(call, "void", body, redemption_id, store_id, till=body.till)
    return await door.perform(
        call, body, Void(redemption_id, body.reason), number, store_id, body.till
    )


async def _card(call: Call, source: Source) -> tuple[str, bool]:
    """The card's number, and whether the caller proved the card by it."""
    if source.card_number is not None and source.card_id is None:
        return source.card_number, True
    if source.card_id is not None and source.card_number is None:
        number, _ = await door.locate(call, "ledger.locate_card", source.card_id)
        return number, False
    raise _contradiction(SOURCE_AMBIGUOUS, "$.sources[0]")


def _require_sound(lines: list[Line], amount: int) -> None:
    """A basket that contradicts itself is refused before anything is looked up."""
    if not lines:
        return
    facts = [
        basket.Line(
            line.line_id,
            line.sku,
            line.quantity,
            line.list_price,
            line.discount,
            line.tax,
            line.total,
        )
        for line in lines
    ]
    problems = basket.check(facts, amount)
    if problems:
        found = [because(BASKET_CONTRADICTION, text, path="$.lines") for text in problems]
        raise ProblemError(UNPROCESSABLE, reasons=found)


def _contradiction(reason: ReasonCode, path: str) -> ProblemError:
    return ProblemError(UNPROCESSABLE, reasons=[because(reason, path=path)])
