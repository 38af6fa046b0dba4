"""Batch: many commands of one tenant folded, in order, on one snapshot into one post.

Each command is decided on the state its predecessors left. Commands that share a card form a
component: the rows of a component stand or fall together (rule 1). The fold leaves one final image
per row (rule 2). A refusal decided on folded state belongs to its component; one decided on fresh
state needs only its key (rule 4).
"""

from datetime import date, datetime

import msgspec
from msgspec import Struct

from service.kernel import problems
from service.kernel.auth import scope_missing
from service.kernel.problems import ProblemError
from service.ledger import answers
from service.ledger.commands import Command, Issue, Redeem, Refund, Reverse, Void
from service.ledger.decide import decide
from service.ledger.decisions.outcome import Accepted, NewId, Refused, Rejected
from service.ledger.reasons import KEY_REUSED, KEY_REVERSED, MERCHANT_SUSPENDED, STORE_NOT_ALLOWED
from service.ledger.rows import Rows
from service.ledger.snapshot import Snapshot
from service.ledger.state import Card, Change, Key, StoreTerms, View
from service.ledger.terms import Tenant, Terms
from service.rules import days
from service.rules.periods import MIDNIGHT, business_date

# The operation ids that earlier attempts may have posted a command as.
Sent = frozenset[str]
NOT_SENT: Sent = frozenset()


class Settled(Struct, frozen=True):
    """The final answer of a command: exact bytes, and whether they were given before."""

    status: int
    body: bytes
    replayed: bool
    # Why it was refused, for the metrics; empty when the answer comes from its key.
    code: str = ""
    reasons: tuple[str, ...] = ()


class Relocate(Struct, frozen=True):
    """What a command was routed by is out of date: look it up again and submit again.

    Nothing was done.
    """


class Pending(Struct, frozen=True):
    """An answer that is true once its component is posted."""

    component: int
    settled: Settled | ProblemError
    # What it is posted as; empty when another command of the batch is.
    operation_id: str = ""


class Later(Struct, frozen=True):
    """It depends on what another component of this batch may or may not post.

    It is decided once that is known.
    """


Outcome = Settled | ProblemError | Relocate | Pending | Later


class Batch:
    """The fold. `decide` each command in order, then post `rows`."""

    def __init__(self, tenant: Tenant, snapshot: Snapshot, quote_key: bytes, new_id: NewId) -> None:
        self.rows = Rows(tenant.merchant.merchant_id)
        self._tenant = tenant
        self._snapshot = snapshot
        self._quote_key = quote_key
        self._new_id = new_id
        self._components: dict[str, int] = {}
        # Keys decided in this batch, with the component they wait for.
        self._keys: dict[bytes, tuple[Command, Pending]] = {}
        self._days: dict[tuple[datetime, str], date] = {}
        # (store, request number) taken in this batch, with the component that takes it.
        self._taken: dict[tuple[str, str], int] = {}

    def decide(self, command: Command, *, sent: Sent = NOT_SENT) -> Outcome:
        """The command's outcome; Pending when it has something to post.

        `sent`: what earlier attempts may have posted it as. If they may have been applied, what its
        key says comes before whether the credential is still good.
        """
        if sent and (done := self._replay(command, sent)) is not None:
            return done
        refusal = self.authorize(command)
        if refusal is not None:
            return refusal
        replay = self._replay(command, sent)
        if replay is not None:
            return replay
        view = self.view(command)
        if isinstance(view, Relocate):
            return view
        if self._taken_elsewhere(command):
            return Later()
        decision = decide(view, command, self._new_id)
        if isinstance(decision, Rejected):
            return decision.error
        if isinstance(decision, Refused):
            component = self._settled_on(command)
            status, body = answers.refused(command, decision)
            operation_id = self.rows.refuse(component, view, command, decision, self._new_id)
            outcome, code = "refused", decision.code.code
            reasons = tuple(reason.code for reason in decision.reasons)
        else:
            component = self._component(command, decision)
            status, body = answers.accepted(view, command, decision)
            operation_id = self._accept(component, view, command, decision)
            outcome, code, reasons = "accepted", "", ()
        self.rows.key(component, command, outcome, operation_id, status, body, view.now)
        pending = Pending(component, Settled(status, body, False, code, reasons), operation_id)
        self._keys[command.key_hash] = (command, pending)
        return pending

    def authorize(self, command: Command) -> ProblemError | None:
        """Put the credential in place as it is at this snapshot's epoch.

        Answers why it may not do this, None if it may: revoked, expired or demoted means now
        (THREAT-T15).
        """
        credential = self._tenant.credentials.get(command.credential.secret_hash)
        if credential is None or (
            credential.expires_at is not None and credential.expires_at <= self._snapshot.clock
        ):
            return ProblemError(problems.UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
        command.credential = credential
        if command.scope not in credential.scopes:
            reasons = [scope_missing(credential, command.scope)]
            return ProblemError(problems.FORBIDDEN, reasons=reasons)
        # A till's key is of one store for ever; where people may act changes.
        at, is_user = command.store_id, credential.user_id is not None
        if is_user and at is not None and not credential.acts_for(command.scope, at):
            return ProblemError(STORE_NOT_ALLOWED)
        if self._tenant.merchant.status != "active":
            return ProblemError(MERCHANT_SUSPENDED)
        return None

    def _replay(self, command: Command, sent: Sent) -> Outcome | None:
        folded = self._keys.get(command.key_hash)
        if folded is not None:
            first, pending = folded
            if first.fingerprint != command.fingerprint or isinstance(
                pending.settled, ProblemError
            ):
                return Pending(pending.component, ProblemError(KEY_REUSED))
            return Pending(
                pending.component, Settled(pending.settled.status, pending.settled.body, True)
            )
        key = self._snapshot.keys.get(command.key_hash)
        return None if key is None else replay(key, command.fingerprint, sent)

    def view(self, command: Command) -> View | Relocate:
        """All this command depends on, as of the snapshot and what was folded on it."""
        intent, snapshot = command.intent, self._snapshot
        card = snapshot.cards.get(command.card_number) if not isinstance(intent, Issue) else None
        target_key, target, redemption, counter, taken = None, None, None, None, None
        if isinstance(intent, Redeem):
            taken = snapshot.request_nos.get((command.store_id or "", intent.request_no))
        elif isinstance(intent, (Refund, Void)):
            redemption = snapshot.redemptions.get(intent.redemption_id)
        elif isinstance(intent, Issue):
            counter = snapshot.counters.get(intent.template_id)
        elif isinstance(intent, Reverse):
            target_key = snapshot.keys.get(intent.target_key_hash)
            if intent.target_key_hash in self._keys or (
                target_key and target_key.operation_id != intent.operation_id
            ):
                return Relocate()
            if intent.operation_id is not None:
                target = snapshot.targets.get(intent.operation_id)
                redemption = snapshot.redemptions.get(intent.operation_id)
        now = max(snapshot.now, card.last_operation_at) if card else snapshot.now  # rule 11
        merchant = self._tenant.merchant
        store = self._tenant.stores.get(command.store_id) if command.store_id else None
        return View(
            now=now,
            business_date=self._business_date(now, store),
            time_zone=merchant.time_zone,
            quote_key=self._quote_key,
            template=self._tenant.templates.get(template_ref(command, card)),
            store=store,
            card=card,
            request_no_taken=taken,
            redemption=redemption,
            target_key=target_key,
            target=target,
            counter=counter,
        )

    def _business_date(self, now: datetime, store: StoreTerms | None) -> date:
        """The store's day, or the merchant's; the commands of a batch mostly share one instant."""
        name = (now, store.store_id if store else "")
        day = self._days.get(name)
        if day is None:
            zone = store.time_zone if store else self._tenant.merchant.time_zone
            day = business_date(now, zone, store.day_cutoff if store else MIDNIGHT)
            day = days.open_date(day, store.closed_through if store else None)
            self._days[name] = day
        return day

    def _taken_elsewhere(self, command: Command) -> bool:
        """Whether a redemption of another card in this batch takes the request number.

        It does so only if its component is posted.
        """
        if not isinstance(command.intent, Redeem):
            return False
        taker = self._taken.get((command.store_id or "", command.intent.request_no))
        return taker is not None and taker != self._components.get(command.card_number)

    def _settled_on(self, command: Command) -> int:
        """The component a decision without effect depends on (rule 4).

        Its card's, if the batch has changed that card; else one of its own.
        """
        return self._components.get(command.card_number) or self.rows.new_component()

    def _component(self, command: Command, decision: Accepted) -> int:
        """The component of the card that changes."""
        if decision.own.card is None:
            return self._settled_on(command)
        number = decision.own.card.card_number
        if number not in self._components:
            self._components[number] = self.rows.new_component()
        return self._components[number]

    def _note_reversal(self, change: Change) -> None:
        target = self._snapshot.targets.get(change.target_id or "")
        if change.kind == "reversal" and target is not None:
            self._snapshot.targets[target.operation_id] = msgspec.structs.replace(
                target, reversed_by=change.operation_id
            )

    def _accept(self, component: int, view: View, command: Command, decision: Accepted) -> str:
        snapshot = self._snapshot
        for change in decision.changes:
            self.rows.add(component, view, command, change)
            if change.card is not None:
                snapshot.cards[change.card.card_number] = change.card
                self._note_reversal(change)
            if change.redemption is not None:
                snapshot.redemptions[change.redemption.redemption_id] = change.redemption
                if change.request_no is not None:
                    name = (change.redemption.store_id, change.request_no)
                    snapshot.request_nos[name] = change.operation_id
                    self._taken[name] = component
        intent = command.intent
        if isinstance(intent, Issue):
            self.rows.count(component, intent.template_id, "cards_issued", 1)
            counter = snapshot.counters.get(intent.template_id)
            if counter is not None:
                snapshot.counters[intent.template_id] = msgspec.structs.replace(
                    counter, used=counter.used + 1
                )
        if isinstance(intent, Reverse) and view.target_key is None:
            # Folded too: the same key in this batch, or a second reversal of it, meets the
            # tombstone.
            blocked = intent.target_key_hash
            self.rows.tombstone(component, blocked, view.now)
            snapshot.keys[blocked] = Key(blocked, b"", "tombstone", None, 409, None, view.now)
        return decision.own.operation_id


def replay(key: Key, fingerprint: bytes, sent: Sent) -> Settled | ProblemError:
    """What a key that was used before answers: the same bytes, or why not.

    The answer was given before, unless it is what the command itself was `sent` as.
    """
    if key.outcome == "tombstone":
        return ProblemError(KEY_REVERSED)
    if key.fingerprint != fingerprint:
        return ProblemError(KEY_REUSED)
    assert key.answer is not None
    return Settled(key.http_status, key.answer, key.operation_id not in sent)


async def terms_of(
    terms: Terms, merchant_id: str, commands: list[Command], snapshot: Snapshot
) -> Tenant | None:
    """What these commands need of the terms of the snapshot's epoch.

    None when the epoch moved meanwhile and all must be read again.
    """
    hashes = {command.credential.secret_hash for command in commands}
    stores = {command.store_id for command in commands if command.store_id is not None}
    templates = {
        template_ref(command, snapshot.cards.get(command.card_number)) for command in commands
    }
    templates.discard(("", 0))
    tenant = terms.known(merchant_id, snapshot.epoch)
    if tenant is None or tenant.lacks(hashes, stores, templates):
        tenant = await terms.load(merchant_id, hashes, stores, templates)
    return tenant if tenant is not None and tenant.merchant.epoch == snapshot.epoch else None


def template_ref(command: Command, card: Card | None) -> tuple[str, int]:
    """The template version a command is decided under: the card's, or for a new card the latest."""
    if isinstance(command.intent, Issue):
        return command.intent.template_id, 0
    return (card.template_id, card.template_version) if card else ("", 0)
