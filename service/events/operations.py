"""The story of the feed: read on after a number, and nothing comes twice or never."""

from schemas.audit import Actor
from schemas.cards import Balances
from schemas.common import Total
from schemas.events import Event, EventCard, EventChange, EventList, EventOperation
from service.events import store
from service.events.store import Row
from service.kernel.ids import base32
from service.kernel.routes import Answer, Call, json_answer
from service.ledger.reading import reading


async def after(call: Call, _: None) -> Answer:
    """The events after a number."""
    query = call.query
    async with reading(call) as tenant:
        rows = await store.after(tenant, query.after, query.limit + 1)
    has_more, rows = len(rows) > query.limit, rows[: query.limit]
    last_seq = rows[-1].seq if rows else query.after
    wanted = [
        _event(row)
        for row in rows
        if query.card_id in (None, row.card_id) and query.store_id in (None, row.store_id)
    ]
    return json_answer(200, EventList(wanted, last_seq, has_more))


def _event(row: Row) -> Event:
    """What a client sees of it. An entry that isn't there any more is an event of nothing."""
    return Event(
        "evt_" + base32(row.seq, 13),
        row.seq,
        row.recorded_at or row.changed_at or row.sealed_at,
        _actor(row),
        _operation(row) if row.kind else None,
        EventChange(row.id, row.action, row.object_id) if row.action else None,
    )


def _actor(row: Row) -> Actor | None:
    if row.actor_kind is not None and row.actor_id is not None:
        return Actor(row.actor_kind, row.actor_id, row.actor_session_id)
    if row.user_id is not None:
        return Actor("user", row.user_id, row.session_id)
    return Actor("api_key", row.api_key_id, None) if row.api_key_id else None


def _operation(row: Row) -> EventOperation:
    assert row.business_date is not None
    assert row.occurred_at is not None
    return EventOperation(
        row.id,
        row.kind,
        row.status,
        row.refusal if row.status == "refused" else None,
        row.card_id,
        Total(row.amount, row.currency),
        row.target_id,
        row.store_id,
        row.terminal_id,
        row.operator,
        row.shift,
        row.receipt_no,
        row.request_no,
        row.business_date,
        row.occurred_at,
        _card(row),
    )


def _card(row: Row) -> EventCard | None:
    if row.version is None:
        return None
    balances = Balances(row.principal, row.bonus, row.principal + row.bonus, row.currency)
    return EventCard(row.version, row.card_status, row.principal_delta, row.bonus_delta, balances)
