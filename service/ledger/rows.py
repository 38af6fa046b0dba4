"""Rows: what one post writes, folded to one final image per row.

Tuples, in the order of the types of `post_v2`.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from service.ledger.commands import Command
from service.ledger.decisions.outcome import NewId, Refused
from service.ledger.state import Card, Change, Lot, Redemption, View
from service.rules.periods import MIDNIGHT, business_date

_encode = msgspec.json.Encoder().encode
_PREFIXES = {"redeem": "rdm", "refund": "rfd", "void": "rfd"}


class Rows:
    """The arguments of one `post_v2` call, grown command by command."""

    def __init__(self, merchant_id: str) -> None:
        self.merchant_id = merchant_id
        self.components = 0
        self._guards: dict[tuple[str, str], tuple[int, str, str, int]] = {}
        self._keys: list[tuple[Any, ...]] = []
        self._card_inserts: dict[str, tuple[int, Card]] = {}
        self._cards: dict[str, tuple[int, Card]] = {}
        self._lot_inserts: dict[str, tuple[int, str, str, str, Lot, datetime]] = {}
        self._lots: dict[str, tuple[int, str, str, int, int]] = {}
        self._operations: list[tuple[Any, ...]] = []
        self._postings: list[tuple[Any, ...]] = []
        self._legs: list[tuple[Any, ...]] = []
        self._redemption_inserts: dict[str, tuple[int, Redemption]] = {}
        self._redemptions: dict[str, tuple[int, int, Redemption]] = {}
        self._counters: list[tuple[int, str, str, int]] = []

    def new_component(self) -> int:
        """A number for rows that stand or fall together."""
        self.components += 1
        return self.components

    @property
    def empty(self) -> bool:
        """Whether there is nothing to post: every outcome records a key."""
        return not self._keys

    @property
    def operations(self) -> int:
        """How many operations the post writes."""
        return len(self._operations)

    def add(self, component: int, view: View, command: Command, change: Change) -> None:
        """One accepted change: its operation, postings and leg, and the images it leaves."""
        card = change.card
        before_version = change.card_before.version if change.card_before else None
        self._operations.append(
            _operation(
                component,
                view,
                command,
                change.operation_id,
                change.kind,
                "accepted",
                card.card_id if card else None,
                change.target_id,
                change.amount,
                card.currency if card else None,
                change.request_no,
                before_version,
                change.details,
                change.occurred_at,
            )
        )
        legal_entity = view.store.legal_entity if view.store else None
        if change.kind == "lapse":
            self._lapse_key(component, change, view.now)
            legal_entity = None
        for number, posting in enumerate(change.postings, 1):
            assert card is not None
            self._postings.append(
                (
                    component,
                    change.operation_id,
                    number,
                    posting.from_account,
                    posting.to_account,
                    card.currency,
                    posting.amount,
                    card.card_id,
                    posting.lot_id,
                    legal_entity,
                )
            )
        if card is not None:
            self._card(component, change, card)
            self._lot_images(component, card, change, view.now)
        if change.redemption is not None:
            self._redemption(component, change.redemption_before, change.redemption)

    def refuse(
        self, component: int, view: View, command: Command, refused: Refused, new_id: NewId
    ) -> str:
        """The operation of a business refusal: no postings, no leg; the id of it."""
        operation_id = new_id(_PREFIXES.get(refused.kind, "opn"))
        card = view.card
        details = {"code": refused.code.code, "reasons": refused.reasons}
        self._operations.append(
            _operation(
                component,
                view,
                command,
                operation_id,
                refused.kind,
                "refused",
                card.card_id if card else None,
                refused.target_id,
                refused.amount,
                getattr(command.intent, "currency", None) or (card.currency if card else None),
                refused.request_no,
                card.version if card else None,
                details,
            )
        )
        return operation_id

    def key(
        self,
        component: int,
        command: Command,
        outcome: str,
        operation_id: str,
        status: int,
        body: bytes,
        now: datetime,
    ) -> None:
        """The idempotency key, with the exact answer."""
        self._keys.append(
            (
                component,
                command.key_hash,
                command.fingerprint,
                outcome,
                operation_id,
                status,
                body,
                now,
            )
        )

    def tombstone(self, component: int, key_hash: bytes, now: datetime) -> None:
        """A key that is blocked before it came."""
        self._keys.append((component, key_hash, b"", "tombstone", None, 409, None, now))

    def count(self, component: int, template_id: str, counter: str, delta: int) -> None:
        """A shared counter's share (rule 10)."""
        self._counters.append((component, template_id, counter, delta))

    def arguments(self) -> tuple[Any, ...]:
        """The call's arguments."""
        return (
            self.merchant_id,
            list(self._guards.values()),
            self._keys,
            [_new_card_row(*image) for image in self._card_inserts.values()],
            [_card_row(*image) for image in self._cards.values()],
            [_new_lot_row(*image) for image in self._lot_inserts.values()],
            list(self._lots.values()),
            self._operations,
            self._postings,
            self._legs,
            [_new_redemption_row(*image) for image in self._redemption_inserts.values()],
            [_redemption_row(*image) for image in self._redemptions.values()],
            self._counters,
        )

    def _card(self, component: int, change: Change, card: Card) -> None:
        before = change.card_before
        self._legs.append(
            (
                component,
                card.card_id,
                card.version,
                change.operation_id,
                card.status,
                card.principal - (before.principal if before else 0),
                card.bonus - (before.bonus if before else 0),
                card.principal,
                card.bonus,
            )
        )
        if before is None:
            self._card_inserts[card.card_id] = (component, card)
            return
        if card.card_id not in self._card_inserts and card.card_id not in self._cards:
            self._guards["card", card.card_id] = (component, "card", card.card_id, before.version)
        self._cards[card.card_id] = (component, card)

    def _lot_images(self, component: int, card: Card, change: Change, now: datetime) -> None:
        for lot in change.new_lots:
            self._lot_inserts[lot.lot_id] = (
                component,
                card.card_id,
                card.currency,
                change.operation_id,
                lot,
                now,
            )
        for lot_id, before, after in change.lots:
            inserted = self._lot_inserts.get(lot_id)
            if inserted is not None:
                *head, lot, created_at = inserted
                lot = msgspec.structs.replace(lot, remaining=after)
                self._lot_inserts[lot_id] = (*head, lot, created_at)  # type: ignore[assignment]
            else:
                first = self._lots.get(lot_id)
                read = first[3] if first else before
                self._lots[lot_id] = (component, card.card_id, lot_id, read, after)

    def _redemption(self, component: int, before: Redemption | None, after: Redemption) -> None:
        name = after.redemption_id
        if before is None or name in self._redemption_inserts:
            self._redemption_inserts[name] = (component, after)
        else:
            first = self._redemptions.get(name)
            read_version = first[1] if first else before.version
            self._guards["redemption", name] = (component, "redemption", name, read_version)
            self._redemptions[name] = (component, read_version, after)

    def _lapse_key(self, component: int, change: Change, now: datetime) -> None:
        """The key of a lapse: anyone makes the same one from the same state.

        So it can't be posted twice.
        """
        assert change.card_before is not None
        name = f"lapse:{change.card_before.card_id}:{change.card_before.version}"
        key_hash = blake2b(name.encode("ascii"), digest_size=16).digest()
        self._keys.append((component, key_hash, b"", "accepted", change.operation_id, 0, None, now))


def _operation(
    component: int,
    view: View,
    command: Command,
    operation_id: str,
    kind: str,
    status: str,
    card_id: str | None,
    target_id: str | None,
    amount: int,
    currency: str | None,
    request_no: str | None,
    version: int | None,
    details: Any,
    lapsed_at: datetime | None = None,
) -> tuple[Any, ...]:
    store, till, now, day = view.store, command.till, view.now, view.business_date
    credential = command.credential
    who = (credential.api_key_id, credential.user_id, credential.session_id)
    if lapsed_at is not None:  # nobody's doing: it only came to light with this command
        store, till, who = None, None, (None, None, None)
        day = business_date(lapsed_at, view.time_zone, MIDNIGHT)
    return (
        component,
        operation_id,
        kind,
        status,
        card_id,
        target_id,
        amount,
        currency,
        store.store_id if store else None,
        store.legal_entity if store else None,
        till.terminal_id if till else None,
        till.operator if till else None,
        till.shift if till else None,
        till.receipt_no if till else None,
        request_no,
        day,
        lapsed_at or now,
        now,
        now,
        version,
        *who,
        _json(details) if details else None,
    )


def _new_card_row(component: int, card: Card) -> tuple[Any, ...]:
    return (
        component,
        card.card_id,
        card.card_number,
        card.template_id,
        card.template_version,
        card.currency,
        card.status,
        card.activated_at,
        card.expires_at,
        card.expires_on,
        card.created_at,
    )


def _card_row(component: int, card: Card) -> tuple[Any, ...]:
    return (
        component,
        card.card_id,
        card.status,
        card.version,
        card.principal,
        card.bonus,
        card.activated_at,
        card.expires_at,
        card.expires_on,
        card.last_operation_at,
    )


def _new_lot_row(
    component: int, card_id: str, unit: str, operation_id: str, lot: Lot, now: datetime
) -> tuple[Any, ...]:
    return (
        component,
        card_id,
        lot.lot_id,
        lot.account,
        unit,
        lot.amount,
        lot.remaining,
        lot.expires_at,
        lot.expires_on,
        operation_id,
        now,
    )


def _new_redemption_row(component: int, redemption: Redemption) -> tuple[Any, ...]:
    return (
        component,
        redemption.redemption_id,
        redemption.card_id,
        redemption.store_id,
        redemption.request_no,
        redemption.status,
        redemption.version,
        redemption.currency,
        redemption.amount,
        redemption.refunded,
        _json(redemption.lines),
        _json(redemption.refunded_lines),
    )


def _redemption_row(component: int, read_version: int, redemption: Redemption) -> tuple[Any, ...]:
    return (
        component,
        redemption.redemption_id,
        read_version,
        redemption.version,
        redemption.status,
        redemption.refunded,
        _json(redemption.refunded_lines),
    )


def _json(value: Any) -> str:
    return _encode(value).decode("utf-8")
