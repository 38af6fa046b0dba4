"""The story of a record: one snapshot, its lines chained, as JSON or as a page made from that JSON.

Whoever may be called to account for a card must be able to show all of it (SPC art. 25, decision
0018). A page is made from the JSON alone, by a process of its own: what is printed can be checked
against what a program reads, and no till waits for it.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import perf_counter
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta, Struct, structs

from schemas.common import Id, Instant
from schemas.records import (
    Contract,
    Digest,
    Movement,
    Proof,
    RecordedCard,
    RecordedMerchant,
    RecordHead,
    Refusal,
)
from schemas.templates import CardTemplateCreate
from service.cards import operations as cards
from service.error_codes import operations as error_codes
from service.kernel import paging
from service.kernel.problems import UNAVAILABLE, ProblemError
from service.kernel.routes import Answer, Call, object_id
from service.kernel.turns import in_turn
from service.ledger import answers
from service.ledger.reading import Reading, reading
from service.ledger.state import Card
from service.records import press, store, words
from service.records.rules import Chained, canonical, digest, first

# Where a part ends, whatever its limit: baskets are long or short, memory is not.
BYTES_MAX = 8 * 2**20
# No ledger is older or younger; at the ends of Python's years an instant can't change its zone.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Place(Struct, array_like=True):
    """Where a record stands: the last movement and the last refusal shown, and their digests."""

    version: Version
    movements: Digest
    recorded_at: Instant
    operation_id: Id | None
    refusals: Digest


async def record(call: Call, _: None) -> Answer:
    """The record of a card, or the part of it that the cursor says."""
    card_id = object_id(call, "card_id", "crd")
    if call.query.format == "json":
        body, more = await _record(call, card_id)
        return Answer(200, body, headers=more)
    # One at a time in a worker, from its reading on: two would need twice the memory.
    async with in_turn(call.state.pressing, "Other records are being printed; ask again."):
        body, more = await _record(call, card_id)
        printed = await press.printed(call.query.format, body)
    return Answer(
        200,
        printed.body,
        media_type=printed.media_type,
        headers={**more, **printed.headers, "Content-Disposition": _name(call, card_id)},
    )


def _name(call: Call, card_id: str) -> str:
    return f'inline; filename="record-{card_id}.{call.query.format}"'


async def _record(call: Call, card_id: str) -> tuple[bytes, dict[str, str]]:
    """The JSON of a part, and the header that leads to the next one."""
    place: _Place = paging.decode_cursor(call.query.cursor, _Place) or _beginning(card_id)
    if not EARLIEST <= place.recorded_at <= LATEST:
        raise paging.refusal()
    try:
        async with (
            in_turn(call.state.reporting, "Other reports are being made; ask again."),
            reading(call) as tenant,
        ):
            return await _part(call, tenant, card_id, place)
    except asyncpg.QueryCanceledError:
        raise ProblemError(UNAVAILABLE, "The record took too long; ask again later.") from None


async def _part(
    call: Call, tenant: Reading, card_id: str, place: _Place
) -> tuple[bytes, dict[str, str]]:
    card = await cards.found(tenant, card_id)
    lines = _Lines(place, call.query.limit)
    after, limit = place.version, call.query.limit + 1
    await lines.take(store.movements(tenant, card_id, after, limit), lines.movements)
    since = (place.recorded_at, place.operation_id or "")
    await lines.take(store.refusals(tenant, card_id, *since, lines.left + 1), lines.refusals)
    cursor = paging.encode_cursor(lines.place) if lines.more else None
    head = await _head(call, tenant, card, lines, cursor)
    proof = Proof("sha-256", lines.movements.proof, lines.refusals.proof, digest(canonical(head)))
    whole = {
        **structs.asdict(head),
        "movements": lines.movements.lines,
        "refusals": lines.refusals.lines,
        "proof": proof,
    }
    return msgspec.json.encode(whole), {"Next-Cursor": cursor} if cursor else {}


class _Lines:
    """The lines of a part, as many as there is room for."""

    def __init__(self, place: _Place, limit: int) -> None:
        self.movements = Chained(place.movements)
        self.refusals = Chained(place.refusals)
        self.store_ids: set[str] = set()
        self.codes: set[str] = set()
        self.left = limit
        self.more = False
        self._place = place

    @property
    def place(self) -> _Place:
        """Where the next part goes on."""
        return structs.replace(
            self._place, movements=self.movements.closing, refusals=self.refusals.closing
        )

    async def take(
        self, slices: AsyncIterator[list[Movement]] | AsyncIterator[list[Refusal]], chain: Chained
    ) -> None:
        """Take lines while there is room; after each slice rest for as long as it took.

        One line more than there is room for tells whether there is more.
        """
        began = perf_counter()
        async for lines in slices:
            for line in lines:
                if not self._room():
                    self.more = True
                    return
                self._add(line, chain)
            await asyncio.sleep(perf_counter() - began)
            began = perf_counter()

    def _room(self) -> bool:
        return self.left > 0 and self.movements.size + self.refusals.size < BYTES_MAX

    def _add(self, line: Movement | Refusal, chain: Chained) -> None:
        chain.add(line)
        self.left -= 1
        if line.store_id:
            self.store_ids.add(line.store_id)
        if isinstance(line, Movement):
            self._place.version = line.version
        else:
            self._place.recorded_at = line.recorded_at
            self._place.operation_id = line.operation_id
            self.codes.update(reason.code for reason in line.reasons)


def _beginning(card_id: str) -> _Place:
    chains = first(card_id, "movements"), first(card_id, "refusals")
    return _Place(0, chains[0], EARLIEST, None, chains[1])


async def _head(
    call: Call,
    tenant: Reading,
    card: Card,
    lines: _Lines,
    cursor: str | None,
) -> RecordHead:
    merchant, heading = tenant.merchant, await store.heading(tenant, card.card_id)
    rules = msgspec.json.decode(heading.rules, type=CardTemplateCreate)
    named = rules.stores.ids[: words.STORES_NAMED_MAX]
    stores = await store.stores(tenant, lines.store_ids.union(named))
    meanings = error_codes.reasons(call.query.language)
    names = {known.id: known.name for known in stores}
    shown: dict[str, Any] = structs.asdict(answers.card(card, tenant.now))
    return RecordHead(
        as_of=tenant.now.astimezone(UTC),
        merchant=RecordedMerchant(merchant.merchant_id, heading.merchant_name, merchant.time_zone),
        card=RecordedCard(**shown, holder=rules.holder),
        contract=Contract(
            card.template_id,
            card.template_version,
            heading.published_at,
            rules,
            words.terms(rules, names, call.query.language),
        ),
        stores=[known for known in stores if known.id in lines.store_ids],
        lots=await store.lots(tenant, card.card_id),
        totals=await store.totals(tenant, card),
        movement_count=card.version,
        refusal_count=await store.refusal_count(tenant, card.card_id),
        meanings={code: meanings[code] for code in sorted(lines.codes) if code in meanings},
        language=call.query.language,
        next_cursor=cursor,
    )
