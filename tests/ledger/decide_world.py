"""A world of cards in memory: every command goes through `decide`, every change is checked.

The world is a second, naive bookkeeping beside the product's: it keeps postings, and it knows what
each command should have moved. `act` raises AssertionError as soon as the two differ.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import msgspec

from schemas.common import Account
from service.ledger.commands import Command, Intent, Issue, Redeem, Refund, Reverse, TopUp, Void
from service.ledger.decide import Decision, decide
from service.ledger.decisions.movement import spendable
from service.ledger.decisions.outcome import Accepted, Refused
from service.ledger.state import Card, Change, Key, Lot, Redemption, Target, TemplateTerms, View
from tests.ledger import pure

ACCOUNTS: tuple[Account, ...] = ("principal", "bonus")
STORES = {
    pure.STORE: pure.store(),
    pure.CLOSED_STORE: pure.store(pure.CLOSED_STORE, "closed"),
    pure.FOREIGN_STORE: pure.store(pure.FOREIGN_STORE),
}


class World:
    """Cards, redemptions, keys and operations of one merchant; `now` only moves forward."""

    def __init__(self, templates: dict[str, TemplateTerms]) -> None:
        self.templates = templates
        self.now = pure.START
        self.cards: dict[str, Card] = {}
        self.redemptions: dict[str, Redemption] = {}
        self.request_nos: dict[tuple[str, str], str] = {}
        self.keys: dict[bytes, Key] = {}
        self.targets: dict[str, Target] = {}
        # Lots that an operation's postings name: what a read loads beside those that hold value.
        self.touched: dict[str, set[str]] = {}
        self.outside: Counter[str] = Counter()
        self.held: Counter[tuple[str, str]] = Counter()
        self.given_back: Counter[tuple[str, str]] = Counter()
        self.drawn: Counter[tuple[str, str]] = Counter()
        self._new_id = pure.ids()
        self._keys_made = 0

    def pass_time(self, step: timedelta) -> None:
        """Later."""
        self.now += step

    def view(self, command: Command) -> View:
        """As the batch makes it: lots that hold value, and those the named operation touched."""
        intent, found = command.intent, self.cards.get(command.card_number)
        named: str | None = None
        fields: dict[str, Any] = {"store": STORES[command.store_id]} if command.store_id else {}
        if isinstance(intent, Redeem):
            taken = self.request_nos.get((command.store_id or "", intent.request_no))
            fields["request_no_taken"] = taken
        elif isinstance(intent, (Refund, Void)):
            named = intent.redemption_id
        elif isinstance(intent, Reverse):
            fields["target_key"] = self.keys.get(intent.target_key_hash)
            named = intent.operation_id
            fields["target"] = self.targets.get(named or "")
        fields["redemption"] = self.redemptions.get(named or "")
        if isinstance(intent, Issue):
            found, fields["template"] = None, self.templates[intent.template_id]
        elif found is not None:
            fields["template"] = self.templates[found.template_id]
            also = self.touched.get(named or "", set())
            lots = tuple(lot for lot in found.lots if lot.remaining or lot.lot_id in also)
            found = msgspec.structs.replace(found, lots=lots)
        now = max(self.now, found.last_operation_at) if found else self.now
        return pure.view(now, card=found, **fields)

    def act(self, intent: Intent, number: str, store_id: str | None = pure.STORE) -> Decision:
        """Decide, check, apply; the decision."""
        self._keys_made += 1
        key_hash = self._keys_made.to_bytes(16, "big")
        command = pure.command(intent, number, store_id=store_id, key_hash=key_hash)
        view = self.view(command)
        before = msgspec.json.encode([view.card, view.redemption, view.target])
        decision = decide(view, command, self._new_id)
        assert msgspec.json.encode([view.card, view.redemption, view.target]) == before, "impure"
        if isinstance(decision, Accepted):
            self._check_lapses(decision, view)
            for change in decision.changes:
                self._apply(change, view.now)
            self._check_amount(intent, decision.own, view)
            if isinstance(intent, Reverse) and view.target_key is None:
                self._remember(intent.target_key_hash, "tombstone", None)
        self._record(key_hash, decision)
        self.check()
        return decision

    def _check_lapses(self, decision: Accepted, view: View) -> None:
        """Exactly what is past its time is lapsed, before anything else is done."""
        gone: Counter[str] = Counter()
        for change in decision.changes[:-1]:
            assert change.kind == "lapse", "what comes before the own change is a lapse"
            gone.update({posting.lot_id: posting.amount for posting in change.postings})
        lots = view.card.lots if view.card and decision.own.card else ()
        due = {lot.lot_id: lot.remaining for lot in lots if lot.remaining and _past(lot, view.now)}
        assert gone == due, f"lapsed {gone}, due {due}"

    def _check_amount(self, intent: Intent, change: Change, view: View) -> None:
        """The command moved what it said, and the balances agree."""
        moved = sum(posting.amount for posting in change.postings)
        if isinstance(intent, (Redeem, TopUp)):
            gifted = sum(p.amount for p in change.postings if p.from_account == "promotion")
            assert moved - gifted == intent.amount == change.amount, "not the amount asked for"
        elif isinstance(intent, (Refund, Void)):
            assert moved == change.amount > 0, "not the amount given back"
            if isinstance(intent, Refund) and intent.amount is not None:
                assert moved == intent.amount, "not the amount asked for"
        elif not isinstance(intent, Reverse):
            assert moved == 0, "a change of state moved value"
        assert all(not _past(lot, view.now) for lot in change.new_lots), "a new lot is lapsed"

    def _apply(self, change: Change, now: datetime) -> None:
        card, before = change.card, change.card_before
        self.touched[change.operation_id] = {posting.lot_id for posting in change.postings}
        for posting in change.postings:
            self._post(change, posting.from_account, posting.lot_id, -posting.amount)
            self._post(change, posting.to_account, posting.lot_id, posting.amount)
        if card is not None:
            old = self.cards.get(card.card_number)
            if old is None:
                assert before is None
                assert card.version == 1, "a card begins with version 1"
            else:
                assert before is not None
                assert before.version == old.version, "decided on another state"
                assert card.version == old.version + 1, "one version for each change"
                assert card.last_operation_at == now >= old.last_operation_at, "time goes back"
            lots = {lot.lot_id: lot for lot in (old.lots if old else ())}
            lots |= {lot.lot_id: lot for lot in card.lots}
            assert {lot.lot_id for lot in change.new_lots} <= lots.keys(), "a new lot is lost"
            for posting in change.postings:
                is_past = _past(lots[posting.lot_id], now)
                assert is_past == (change.kind == "lapse"), "value moved on a lapsed lot"
            self.cards[card.card_number] = msgspec.structs.replace(card, lots=tuple(lots.values()))
        if change.redemption is not None:
            self._redemption(change, change.redemption)

    def _post(self, change: Change, account: str, lot_id: str, amount: int) -> None:
        if account not in ACCOUNTS:
            self.outside[account] += amount
            return
        assert change.card is not None
        self.held[change.card.card_number, account] += amount
        if change.kind == "redeem":
            self.drawn[change.operation_id, lot_id] -= amount
        elif change.redemption is not None:
            self.given_back[change.redemption.redemption_id, account] += amount
            if lot_id not in {lot.lot_id for lot in change.new_lots}:
                self.given_back[change.redemption.redemption_id, lot_id] += amount

    def _redemption(self, change: Change, after: Redemption) -> None:
        old = self.redemptions.get(after.redemption_id)
        if old is None:
            assert (after.version, after.refunded) == (1, 0)
            assert change.request_no is not None
            drawn = sum(amount for _, _, amount in after.allocation)
            assert drawn == after.amount, "the allocation is not the amount"
            self.request_nos[after.store_id, change.request_no] = after.redemption_id
        else:
            assert after.version == old.version + 1
            assert 0 < after.refunded - old.refunded == change.amount, (
                "refunded is not what it gave"
            )
        self.redemptions[after.redemption_id] = after

    def _record(self, key_hash: bytes, decision: Decision) -> None:
        if isinstance(decision, Refused):
            # A refusal is an operation too: whoever reverses it is shown it as the target.
            name = self._new_id("opn")
            self._remember(key_hash, "refused", name)
            self.targets[name] = Target(
                name, decision.kind, "refused", None, pure.STORE, decision.amount, "key_1", None, ()
            )
        elif isinstance(decision, Accepted):
            own = decision.own
            self._remember(key_hash, "accepted", own.operation_id)
            credited = tuple((lot.lot_id, lot.account, lot.amount) for lot in own.new_lots)
            card_id = own.card.card_id if own.card else None
            self.targets[own.operation_id] = Target(
                own.operation_id,
                own.kind,
                "accepted",
                card_id,
                pure.STORE,
                own.amount,
                "key_1",
                None,
                credited if own.kind == "top_up" else (),
            )
            if own.kind == "reversal" and own.target_id in self.targets and own.card:
                undone = self.targets[own.target_id]
                assert undone.reversed_by is None, "reversed twice"
                self.targets[own.target_id] = msgspec.structs.replace(
                    undone, reversed_by=own.operation_id
                )

    def _remember(self, key_hash: bytes, outcome: str, operation_id: str | None) -> None:
        self.keys[key_hash] = Key(key_hash, b"", outcome, operation_id, 0, None, self.now)

    def check(self) -> None:
        """No value is created or lost, and every row is within its bounds."""
        for number, card in self.cards.items():
            for account in ACCOUNTS:
                lots = sum(lot.remaining for lot in card.lots if lot.account == account)
                stored = card.principal if account == "principal" else card.bonus
                posted = self.held[number, account]
                assert lots == stored == posted >= 0, f"{account}: {lots}, {stored}, {posted}"
            for lot in card.lots:
                assert 0 <= lot.remaining <= lot.amount, f"a lot out of bounds: {lot}"
            alive = sum(lot.remaining for lot in card.lots if not _past(lot, self.now))
            assert sum(spendable(card, self.now)) == alive, "spendable is not what is alive"
        came_in = -self.outside["tender"] - self.outside["promotion"]
        held = sum(self.held.values())
        assert came_in - self.outside["sales"] - self.outside["lapsed"] == held, "value leaked"
        for redemption in self.redemptions.values():
            self._check_redemption(redemption)

    def _check_redemption(self, redemption: Redemption) -> None:
        assert 0 <= redemption.refunded <= redemption.amount, "refunded more than redeemed"
        name = redemption.redemption_id
        by_account: Counter[str] = Counter()
        for lot_id, account, amount in redemption.allocation:
            by_account[account] += amount
            assert self.drawn[name, lot_id] == amount, "the allocation is not what was drawn"
            assert self.given_back[name, lot_id] <= amount, "a lot got more than it gave"
        for account in ACCOUNTS:
            assert self.given_back[name, account] <= by_account[account], "an account got more"
        back = sum(self.given_back[name, account] for account in ACCOUNTS)
        assert back == redemption.refunded, "refunded is not what went back"
        expected = {
            0: {"captured"},
            redemption.amount: {"refunded", "voided"},
        }.get(redemption.refunded, {"partly_refunded"})
        assert redemption.status in expected, f"{redemption.status}: {redemption.refunded}"


def _past(lot: Lot, now: datetime) -> bool:
    return lot.expires_at is not None and lot.expires_at <= now
