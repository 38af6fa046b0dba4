"""Journals against tables (INV-H1 to INV-H5, INV-H8): pure, so that it can be seen to fail."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from tests.crash.journal import Entry, Finding
from tests.crash.tables import KeyRow, Leg, Operation, Tables

HashOf = Callable[[str], bytes]  # what stands for an idempotency key in the tables


def check(
    journal: list[Entry],
    reads: list[Entry],
    tables: Tables,
    hash_of: HashOf,
    open_at_the_end: Sequence[Entry] = (),
) -> list[Finding]:
    """Every difference between what the clients were told and what is in the tables.

    What was sent and not yet answered (`open_at_the_end`) may be there or not.
    """
    legs = {leg.operation_id: leg for leg in tables.legs}
    findings = [f for entry in journal for f in _entry(entry, tables, legs, hash_of)]
    sent = [*journal, *open_at_the_end]
    findings += _applied_twice(tables, {hash_of(entry.key) for entry in sent})
    findings += _foreign(sent, tables, hash_of)
    findings += _versions(tables.legs)
    findings += _reads(reads, tables.legs)
    findings += order([*journal, *reads])
    return findings


def _entry(
    entry: Entry, tables: Tables, legs: dict[str, Leg], hash_of: HashOf
) -> Iterator[Finding]:
    """One answer against its rows."""
    subject = f"{entry.kind} {entry.key}"
    row = tables.keys.get(hash_of(entry.key))
    if entry.outcome in ("unknown", "odd"):
        yield Finding("breach", subject, f"no definite answer: {entry.outcome}")
    elif row is None:
        yield Finding("lost", subject, f"answered {entry.status}, its key is not in the tables")
    elif entry.outcome == "blocked":
        if row.outcome != "tombstone":
            yield Finding("breach", subject, f"answered blocked, the key's row says {row.outcome}")
    else:
        operation = tables.operations.get(row.operation_id or "")
        if operation is None:
            yield Finding("lost", subject, f"answered {entry.status}, its operation is gone")
        else:
            faults = _faults(entry, row, operation, legs.get(operation.operation_id))
            yield from (Finding("breach", subject, fault) for fault in faults)


def _faults(entry: Entry, row: KeyRow, operation: Operation, leg: Leg | None) -> Iterator[str]:
    """How the rows differ from the answer."""
    expected = "accepted" if entry.outcome == "ok" else "refused"
    if (row.outcome, operation.status) != (expected, expected):
        yield f"answered {expected}, the rows say {row.outcome} and {operation.status}"
    if (row.http_status, row.answer) != (entry.status, entry.answer):
        yield f"answered {entry.answer!r}, stored {row.answer!r}"
    if operation.kind != entry.kind:
        yield f"the operation is a {operation.kind}"
    if entry.amount is not None and operation.amount != entry.amount:
        yield f"asked for {entry.amount}, the operation has {operation.amount}"
    if entry.outcome == "refused" and (operation.postings or leg):
        yield "refused, but it moved value"
    if entry.answered_id and operation.operation_id != entry.answered_id:
        yield f"answered {entry.answered_id}, the key led to {operation.operation_id}"
    if entry.version:
        said = (entry.card_id, entry.version, *entry.balances)
        if leg is None or (leg.card_id, leg.version, leg.principal, leg.bonus) != said:
            yield f"answered card {said}, the leg is {leg}"


def _applied_twice(tables: Tables, sent: set[bytes]) -> Iterator[Finding]:
    """One intent, two effects: told by the marker that the client wrote into its request."""
    effects: dict[tuple[str, str], str] = {}
    for operation in tables.operations.values():
        if operation.status == "accepted" and operation.marker:
            first = effects.setdefault((operation.kind, operation.marker), operation.operation_id)
            if first != operation.operation_id:
                detail = f"operations {first} and {operation.operation_id}"
                yield Finding("twice", f"{operation.kind} {operation.marker}", detail)
    owners: dict[str, bytes] = {}
    for row in tables.keys.values():
        if row.operation_id and owners.setdefault(row.operation_id, row.key_hash) != row.key_hash:
            yield Finding("breach", row.operation_id, "two keys led to one operation")
        if row.key_hash not in sent:
            yield Finding("breach", row.key_hash.hex(), "a key that no client sent")


def _foreign(journal: list[Entry], tables: Tables, hash_of: HashOf) -> Iterator[Finding]:
    """Operations without a key: only lapses come by themselves."""
    rows = (tables.keys.get(hash_of(entry.key)) for entry in journal)
    known = {row.operation_id for row in rows if row is not None}
    for operation in tables.operations.values():
        if operation.operation_id not in known and operation.kind != "lapse":
            detail = f"{operation.kind} {operation.marker or ''}: no client's key led to it"
            yield Finding("breach", operation.operation_id, detail)


def _versions(legs: list[Leg]) -> Iterator[Finding]:
    """Per card 1, 2, 3 … without gap."""
    expected: dict[str, int] = {}
    for leg in legs:
        version = expected.get(leg.card_id, 1)
        if leg.version != version:
            yield Finding("breach", leg.card_id, f"version {leg.version} where {version} comes")
        expected[leg.card_id] = leg.version + 1


def _reads(reads: list[Entry], legs: list[Leg]) -> Iterator[Finding]:
    """What a look at a card showed was its state at that version."""
    states = {(leg.card_id, leg.version): (leg.principal, leg.bonus) for leg in legs}
    for entry in reads:
        if entry.outcome != "ok":
            yield Finding("breach", entry.path, f"answered {entry.status}")
        elif states.get((entry.card_id, entry.version)) != entry.balances:
            detail = f"version {entry.version} showed {entry.balances}"
            yield Finding("breach", entry.path, detail)


def order(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Per card the versions respect real time (INV-H4, INV-H5).

    What was answered before something else was sent has no higher version than it.
    """
    cards: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.outcome == "ok" and entry.version:
            cards.setdefault(entry.card_id, []).append(entry)
    for card_id, seen in cards.items():
        latest: Entry | None = None  # sent last, of all with a lower version
        seen.sort(key=_version)
        for _, group in groupby(seen, _version):
            same = list(group)
            for entry in same:
                if latest is not None and entry.returned_at < latest.invoked_at:
                    detail = f"{entry.version} was answered before {latest.version} was sent"
                    yield Finding("breach", card_id, f"version {detail}")
            latest = max(([latest] if latest else []) + same, key=_sent)


def _version(entry: Entry) -> int:
    return entry.version


def _sent(entry: Entry) -> float:
    return entry.invoked_at
