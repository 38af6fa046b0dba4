"""The story of a card: issued with a number nobody can guess, activated, looked at, frozen."""

import secrets
from typing import Annotated

from msgspec import Meta

from schemas.cards import CardAction, CardCreate, CardLookup, Statement
from service.cards import store
from service.kernel.ids import is_id, new_id
from service.kernel.paging import decode_cursor, page
from service.kernel.problems import NOT_FOUND, UNAVAILABLE, ProblemError
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger import answers, door
from service.ledger.commands import Activate, Freeze, Intent, Issue, Unfreeze
from service.ledger.decisions.movement import effective_status
from service.ledger.reading import Reading, reading, require_own_card
from service.ledger.reasons import CARD_NOT_FOUND
from service.ledger.state import Card
from service.ledger.writer import NumberTakenError
from service.rules.luhn import new_number

NUMBER_TRIES_MAX = 5

Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]


async def issue(call: Call, body: CardCreate) -> Answer:
    """Make a card; a number that is taken already is drawn again."""
    store_id = door.store_or_office(call, body.store_id)
    tenant = await call.state.terms.load(
        call.credential.merchant_id, templates=[(body.template_id, 0)]
    )
    template = (
        tenant.templates.get((body.template_id, 0))
        if tenant and is_id("tpl", body.template_id)
        else None
    )
    if template is None:
        raise ProblemError(NOT_FOUND, "There is no such template.")
    numbering = template.rules.numbering
    for _ in range(NUMBER_TRIES_MAX):
        number = new_number(numbering.prefix, numbering.digits, secrets.randbelow)
        try:
            return await door.perform(
                call,
                body,
                Issue(body.template_id, new_id("crd"), number, body.activate),
                number,
                store_id,
            )
        except NumberTakenError:
            continue
    raise ProblemError(
        UNAVAILABLE, "No free card number was found; the template's number space is nearly full."
    )


async def activate(call: Call, body: CardAction) -> Answer:
    """created → active."""
    return await _act(call, body, Activate(body.reason), door.store_or_office(call, body.store_id))


async def freeze(call: Call, body: CardAction) -> Answer:
    """active → frozen."""
    return await _act(call, body, Freeze(body.reason), door.store_if_any(call, body.store_id))


async def unfreeze(call: Call, body: CardAction) -> Answer:
    """frozen → active."""
    return await _act(call, body, Unfreeze(body.reason), door.store_if_any(call, body.store_id))


async def look_up(call: Call, body: CardLookup) -> Answer:
    """A card by its number; an inactive one is answered like an unknown number."""
    async with reading(call) as tenant:
        card = await store.by_number(tenant, body.card_number)
    if card is None or effective_status(card, tenant.now) == "created":
        raise ProblemError(CARD_NOT_FOUND)
    return json_answer(200, answers.card_detail(card, tenant.now))


async def read(call: Call, _: None) -> Answer:
    """A card by its id."""
    card_id = object_id(call, "card_id", "crd")
    async with reading(call) as tenant:
        await require_own_card(call, tenant, card_id)
        card = await found(tenant, card_id)
    return json_answer(200, answers.card_detail(card, tenant.now))


async def statement(call: Call, _: None) -> Answer:
    """The legs of a card, oldest first; a member doesn't see what another had it for before."""
    card_id = object_id(call, "card_id", "crd")
    after, limit = decode_cursor(call.query.cursor, Version) or 0, call.query.limit
    async with reading(call) as tenant:
        visible_after = await require_own_card(call, tenant, card_id)
        await found(tenant, card_id)
        after = max(after, visible_after)
        lines = await store.statement(tenant, card_id, after, limit + 1)
    return json_answer(200, Statement(*page(lines, limit, lambda line: line.version)))


async def found(tenant: Reading, card_id: str) -> Card:
    """The card with this id and its lots. Raises 404."""
    card = await store.by_id(tenant, card_id)
    if card is None:
        raise ProblemError(NOT_FOUND)
    return card


async def _act(call: Call, body: CardAction, intent: Intent, store_id: str | None) -> Answer:
    number, _ = await door.locate(call, "ledger.locate_card", object_id(call, "card_id", "crd"))
    return await door.perform(call, body, intent, number, store_id)
