"""Snapshot: the rows a batch of one tenant is decided on, read in one round trip (`read_v1`)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from schemas.common import Account
from schemas.redemptions import Line
from service.kernel.database import Connection
from service.kernel.sql import SQL
from service.ledger.commands import Command, Issue, Redeem, Refund, Reverse, Void
from service.ledger.state import Card, Counter, Key, Lot, Redemption, Target

_lines = msgspec.json.Decoder(list[Line])
_refunded_lines = msgspec.json.Decoder(dict[str, int])


class Snapshot(Struct):
    """One consistent state.

    `clock` is the server's, `now` the tenant's: a test tenant's clock may be moved.
    """

    epoch: int
    clock: datetime
    now: datetime
    cards: dict[str, Card]
    keys: dict[bytes, Key]
    request_nos: dict[tuple[str, str], str]
    targets: dict[str, Target]
    redemptions: dict[str, Redemption]
    counters: dict[str, Counter]


async def read(
    connection: Connection, merchant_id: str, commands: Iterable[Command], *, lock: bool
) -> Snapshot | None:
    """What these commands depend on; None when there is no such tenant.

    With `lock`, their cards are locked first.
    """
    row = await connection.fetchrow(SQL["ledger.read"], *_arguments(merchant_id, commands, lock))
    return _snapshot(row)


async def read_many(
    connection: Connection, commands: Iterable[tuple[str, Iterable[Command]]]
) -> list[Snapshot | None]:
    """The same for several merchants in one round trip, in their order and without locks."""
    arguments = [_arguments(merchant_id, each, False) for merchant_id, each in commands]
    return [_snapshot(row) for row in await connection.fetch(SQL["ledger.read_many"], arguments)]


def _arguments(merchant_id: str, commands: Iterable[Command], lock: bool) -> tuple[Any, ...]:
    numbers: set[str] = set()
    keys: set[bytes] = set()
    request_nos: set[tuple[str, str]] = set()
    operations: set[str] = set()
    templates: set[str] = set()
    for command in commands:
        keys.add(command.key_hash)
        if command.card_number:
            numbers.add(command.card_number)
        intent = command.intent
        if isinstance(intent, Redeem):
            if command.store_id is not None:
                request_nos.add((command.store_id, intent.request_no))
        elif isinstance(intent, (Refund, Void)):
            operations.add(intent.redemption_id)
        elif isinstance(intent, Issue):
            templates.add(intent.template_id)
        elif isinstance(intent, Reverse):
            keys.add(intent.target_key_hash)
            if intent.operation_id is not None:
                operations.add(intent.operation_id)
    return (
        merchant_id,
        lock,
        list(numbers),
        list(keys),
        [r[0] for r in request_nos],
        [r[1] for r in request_nos],
        list(operations),
        list(templates),
    )


def _snapshot(row: asyncpg.Record | None) -> Snapshot | None:
    if row is None or row["epoch"] is None:
        return None
    lots: dict[str, list[Lot]] = {}
    for lot in row["lots"]:
        lots.setdefault(lot[0], []).append(Lot(lot[1], lot[2], lot[4], lot[5], lot[6], lot[7]))
    allocations: dict[str, list[tuple[str, Account, int]]] = {}
    credited: dict[str, list[tuple[str, Account, int]]] = {}
    for posting in row["postings"] or ():
        operation_id, _, source, target, amount, lot_id = posting
        if target == "sales":
            allocations.setdefault(operation_id, []).append((lot_id, source, amount))
        elif source in ("tender", "promotion"):
            credited.setdefault(operation_id, []).append((lot_id, target, amount))
    return Snapshot(
        epoch=row["epoch"],
        clock=row["clock"],
        now=row["test_now"] or row["clock"],
        cards={card[1]: Card(*[*card, tuple(lots.get(card[0], ()))]) for card in row["cards"]},
        keys={key[0]: Key(*key) for key in row["keys"]},
        request_nos={(taken[0], taken[1]): taken[2] for taken in row["request_nos"]},
        targets={
            t[0]: Target(*[*t, tuple(credited.get(t[0], ()))]) for t in row["operations"] or ()
        },
        redemptions={
            r[0]: _redemption(r, tuple(allocations.get(r[0], ()))) for r in row["redemptions"] or ()
        },
        counters={counter[0]: Counter(counter[2], counter[3]) for counter in row["counters"] or ()},
    )


def _redemption(
    row: asyncpg.Record, allocation: tuple[tuple[str, Account, int], ...]
) -> Redemption:
    *head, lines, refunded_lines, decided_at, business_date = row
    decoded = (_lines.decode(lines), _refunded_lines.decode(refunded_lines))
    return Redemption(*[*head, *decoded, decided_at, business_date, allocation])
