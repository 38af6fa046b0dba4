"""The story of a template: checked as a whole, published once, never changed."""

from collections.abc import Iterator

from schemas.common import Id
from schemas.problems import Reason
from schemas.templates import CardTemplateCreate, CardTemplateList
from service.approvals import operations as approvals
from service.approvals.operations import Ask
from service.audit import operations as audit
from service.kernel.paging import decode_cursor, page
from service.kernel.problems import NOT_FOUND, ProblemError, because, define_reason
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger.reading import configuring, reading
from service.ledger.reasons import CURRENCY_MISMATCH, MAX_BALANCE, STORE_UNKNOWN, UNPROCESSABLE
from service.rules import ladder, periods
from service.templates import store

RANDOM_DIGITS_MIN = 8
AFTER_ALL = "tpl_~"  # sorts after every id

NUMBER_SPACE = define_reason(
    "number_space_too_small", "Give the numbers more digits: too few could be guessed."
)
STORE_SCOPE = define_reason("store_scope", "`all` takes no ids.")
LADDER = define_reason(
    "ladder", "Each step of a ladder pays more than the one before, for amounts of at least 1."
)
INVALID_PERIOD = define_reason(
    "invalid_period",
    "A period is ISO 8601 in years, months, weeks and days: P3Y, P18M, P2W or P90D.",
)


async def create(call: Call, body: CardTemplateCreate) -> Answer:
    """Publish version 1, or say everything that contradicts itself."""
    async with reading(call) as tenant:
        known = await store.known_stores(tenant, body.stores.ids)
        currency = tenant.merchant.currency
    reasons = list(_contradictions(body, currency, known))
    if reasons:
        raise ProblemError(UNPROCESSABLE, reasons=reasons)
    async with configuring(call) as tenant:
        await approvals.require(call, tenant, Ask("template.publish", body))
        template = await store.publish(tenant.connection, tenant.merchant.merchant_id, body)
        await audit.record(call, tenant, "template.published", template.id, after=body)
    return json_answer(201, template)


async def read(call: Call, _: None) -> Answer:
    """The latest version of a template."""
    template_id = object_id(call, "template_id", "tpl")
    async with reading(call) as tenant:
        template = await store.latest(tenant, template_id)
    if template is None:
        raise ProblemError(NOT_FOUND)
    return json_answer(200, template)


async def browse(call: Call, _: None) -> Answer:
    """Templates, newest first."""
    limit, before = call.query.limit, decode_cursor(call.query.cursor, Id) or AFTER_ALL
    async with reading(call) as tenant:
        found = await store.page(tenant, before, limit + 1)
    return json_answer(200, CardTemplateList(*page(found, limit, lambda template: template.id)))


def _contradictions(
    body: CardTemplateCreate, currency: str, known_stores: set[str]
) -> Iterator[Reason]:
    """What no schema can express."""
    if body.currency != currency:
        text = "The merchant has one currency."
        yield because(CURRENCY_MISMATCH, text, path="$.currency", allowed=[currency])
    free = body.numbering.digits - len(body.numbering.prefix) - 1
    if free < RANDOM_DIGITS_MIN:
        text = (
            f"Leaves {free} random digits; "
            f"at least {RANDOM_DIGITS_MIN} are needed against guessing."
        )
        yield because(NUMBER_SPACE, text, path="$.numbering.digits")
    elif body.max_cards is not None and body.max_cards > 10**free // 1000:
        text = "max_cards needs a thousand times as many numbers."
        yield because(NUMBER_SPACE, text, path="$.max_cards")
    if body.stores.mode == "all" and body.stores.ids:
        yield because(STORE_SCOPE, path="$.stores.ids")
    for position, store_id in enumerate(body.stores.ids):
        if store_id not in known_stores:
            yield because(STORE_UNKNOWN, path=f"$.stores.ids[{position}]")
    if body.validity is not None:
        yield from _period(body.validity.period, "$.validity.period")
    for position, step in enumerate(body.top_up_rules):
        if step.bonus_validity is not None:
            yield from _period(step.bonus_validity, f"$.top_up_rules[{position}].bonus_validity")
        if step.pay + step.bonus > body.max_balance:
            text = "Pay and bonus pass max_balance."
            yield because(MAX_BALANCE, text, path=f"$.top_up_rules[{position}]")
    # Without their validity, which has been checked above with its own place.
    steps = [ladder.Step(step.pay, step.bonus, None) for step in body.top_up_rules]
    for text in ladder.check(steps):
        yield because(LADDER, text, path="$.top_up_rules")


def _period(period: str, path: str) -> Iterator[Reason]:
    try:
        periods.parse(period)
    except ValueError as error:
        yield because(INVALID_PERIOD, str(error), path=path)
