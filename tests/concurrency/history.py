"""The checker of histories (INV-H1 to H5, H7, H8).

Is there one order of each card's operations that explains every answer and respects real time?
Answers carry the card's version, and each version has one leg, so the order is the version: the
check is a sort and a scan, not a search. It is pure, so that tampered histories show that each
part of it works.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from service.ledger.decisions.cards import moves
from tests.concurrency.journal import Event, Fact, History, Leg

SPENDING = ("redeem", "top_up")
GIVING = ("refund", "void", "reversal")


def check(history: History, declared: dict[str, set[tuple[int, str]]]) -> list[str]:
    """What no order explains, each with its invariant first; empty when all is explained."""
    cards = _Cards(history)
    found = [*_declared(history, declared), *cards.gaps()]
    by_key: dict[str, list[Event]] = defaultdict(list)
    for event in history.events:
        if event.key:
            by_key[event.key].append(event)
    known = set(history.foreign)
    for key, events in by_key.items():
        fact = history.facts.get(key)
        if fact is not None and fact.operation_id is not None:
            known.add(fact.operation_id)
        found += [f"{text} ({key})" for text in _key(events, fact, cards)]
    found += [
        f"H1 an effect of nobody: {leg.operation_id}"
        for leg in history.legs
        if leg.operation_id not in known and leg.kind != "lapse"
    ]
    for event in history.events:
        if event.operation == "get_card" and event.outcome == "ok":
            found += [f"H4 {text}" for text in cards.shown(event.answer, "id")]
    return found + _order(by_key, history, cards)


class _Cards:
    """The legs, by card and version, and by operation."""

    def __init__(self, history: History) -> None:
        self.by_card: dict[str, dict[int, Leg]] = defaultdict(dict)
        self.by_operation: dict[str, list[Leg]] = defaultdict(list)
        self.twice: list[str] = []
        for leg in history.legs:
            if leg.version in self.by_card[leg.card_id]:
                self.twice.append(f"H4 two legs at {leg.card_id}/{leg.version}")
            self.by_card[leg.card_id][leg.version] = leg
            self.by_operation[leg.operation_id].append(leg)
        # Redemption -> (version, amount given back), in the order of versions.
        self.given: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for fact in history.facts.values():
            for leg in self.by_operation.get(fact.operation_id or "", []):
                if leg.kind in GIVING and fact.target_id is not None:
                    amount = leg.principal_delta + leg.bonus_delta
                    self.given[fact.target_id].append((leg.version, amount))

    def gaps(self) -> Iterator[str]:
        """Versions 1..n, each balance the one before plus the change, no spending while frozen."""
        yield from self.twice
        for card_id, legs in self.by_card.items():
            principal = bonus = 0
            for expected, version in enumerate(sorted(legs), 1):
                leg = legs[version]
                if version != expected:
                    yield f"H4 a gap before {card_id}/{version}"
                    break
                principal, bonus = principal + leg.principal_delta, bonus + leg.bonus_delta
                if (leg.principal, leg.bonus) != (principal, bonus) or min(principal, bonus) < 0:
                    yield f"H4 balances of {card_id}/{version} don't follow"
                if leg.kind in SPENDING and leg.status != "active":
                    yield f"H4 {leg.kind} on a card that is {leg.status}: {card_id}/{version}"

    def shown(self, card: dict[str, Any], name: str) -> Iterator[str]:
        """How an answer's card differs from the leg of its version."""
        leg = self.by_card[card[name]].get(card["version"])
        if leg is None:
            yield f"no such version: {card[name]}/{card['version']}"
            return
        balances = card["balances"]
        if (balances["principal"], balances["bonus"]) != (leg.principal, leg.bonus):
            yield f"other balances than {card[name]}/{card['version']}"
        if card.get("status", leg.status) != leg.status:
            yield f"another status than {card[name]}/{card['version']}"

    def given_back(self, redemption_id: str, version: int) -> int:
        """What of a redemption had been given back at a version of its card."""
        return sum(amount for at, amount in self.given[redemption_id] if at <= version)

    def amount_of(self, operation_id: str) -> int:
        """What an operation moved."""
        return sum(abs(g.principal_delta + g.bonus_delta) for g in self.by_operation[operation_id])


def _declared(history: History, declared: dict[str, set[tuple[int, str]]]) -> Iterator[str]:
    for event in history.events:
        code = event.answer["code"] if event.status >= 300 else ""
        if event.status and (event.status, code) not in declared.get(event.operation, set()):
            yield f"H8 {event.operation} answered {event.status} {code}, which it doesn't declare"


def _key(events: list[Event], fact: Fact | None, cards: _Cards) -> Iterator[str]:
    """What all answers under one key say together, against what the tables say of it."""
    settled = [event for event in events if event.outcome in ("ok", "no")]
    if len({(event.status, event.body) for event in settled if _kept(event)}) > 1:
        yield "H7 answers differ"
    first = [event for event in settled if not event.replayed and _kept(event)]
    certain = all(event.outcome != "unknown" for event in events)
    if len(first) > 1 or (certain and settled and _kept(settled[0]) and not first):
        yield f"H7 {len(first)} answers that are no replay"
    stored = fact.answer if fact is not None else None
    if stored is not None and any(_kept(event) and event.body != stored for event in settled):
        yield "H7 an answer that is not the stored one"
    legs = cards.by_operation[fact.operation_id] if fact and fact.operation_id else []
    if len(legs) > 1:
        yield "H1 more than one effect"
    for event in settled:
        yield from (
            _ok(event, fact, legs, cards)
            if event.outcome == "ok"
            else _no(event, fact, legs, cards)
        )


def _kept(event: Event) -> bool:
    """Whether this answer is stored with the key; a key blocked by its reversal stores none."""
    return event.outcome == "ok" or (
        event.status == 409 and event.answer["code"] != "reversed_before_arrival"
    )


def _ok(event: Event, fact: Fact | None, legs: list[Leg], cards: _Cards) -> Iterator[str]:
    if fact is None or fact.outcome != "accepted":
        yield "H1 answered ok, but it is not in the tables"
        return
    answer = event.answer
    after = answer if event.operation.endswith("_card") else answer["card"]
    if after is None:
        if legs:
            yield "H1 an effect that the answer doesn't name"
        return
    name = "id" if after is answer else "card_id"
    if after is not answer and answer["id"] != fact.operation_id:
        yield "H1 the answer names another operation"
    if not legs or (after[name], after["version"]) != (legs[0].card_id, legs[0].version):
        yield "H1 the answer's version is not the operation's"
    yield from (f"H4 {text}" for text in cards.shown(after, name))


def _no(event: Event, fact: Fact | None, legs: list[Leg], cards: _Cards) -> Iterator[str]:
    if legs:
        yield "H2 answered no, but it has an effect"
    if event.answer["code"] == "reversed_before_arrival":
        if fact is None or fact.outcome != "tombstone":
            yield "H2 reversed before arrival, but there is no tombstone"
        return
    if not _kept(event):
        return
    if fact is None or fact.outcome != "refused" or fact.decided_version is None:
        yield "H2 a refusal that is not in the tables"
        return
    leg = cards.by_card[fact.card_id or ""].get(fact.decided_version)
    if leg is None:
        yield "H4 a refusal decided on a version that never was"
    else:
        yield from _unexplained(event, fact, leg, cards)


def _unexplained(event: Event, fact: Fact, leg: Leg, cards: _Cards) -> Iterator[str]:
    """The reasons given, against those that the card's state at the decided version gives."""
    given = {(reason["code"], reason.get("missing_minor")) for reason in event.answer["reasons"]}
    if event.operation == "create_reversal":
        later = [g for g in cards.by_card[leg.card_id].values() if g.version <= leg.version]
        if not any(g.kind == "redeem" for g in later):
            yield "H4 refused as spent, but nothing was"
        return
    expected = set(_reasons(event, fact, leg, cards))
    if given != expected:
        yield f"H4 refused for {sorted(given)}, the state at {leg.version} gives {sorted(expected)}"


def _reasons(event: Event, fact: Fact, leg: Leg, cards: _Cards) -> Iterator[tuple[str, int | None]]:
    action = event.operation.removesuffix("_card")
    if action in ("freeze", "unfreeze", "activate"):
        if action not in moves(leg.status):
            yield "transition_not_allowed", None
        return
    if event.operation in ("create_redemption", "create_top_up"):
        if leg.status == "frozen":
            yield "card_frozen", None
        missing = event.amount - leg.principal - leg.bonus
        if event.operation == "create_redemption" and missing > 0:
            yield "insufficient_balance", missing
        return
    back = cards.given_back(fact.target_id or "", leg.version)
    left = cards.amount_of(fact.target_id or "") - back
    if left == 0:
        yield "redemption_closed", None
    elif event.operation == "void_redemption":
        if back:
            yield "void_after_refund", None
    elif event.amount > left:
        yield "refund_exceeds_left", event.amount - left


def _order(by_key: dict[str, list[Event]], history: History, cards: _Cards) -> list[str]:
    """Real time against versions: nothing returned before something of an older version was sent.

    A write stands at its version; a read and a refusal stand right after the version they saw.
    """
    points: dict[str, list[tuple[int, int, float, float]]] = defaultdict(list)
    for key, events in by_key.items():
        fact = history.facts.get(key)
        if fact is None or fact.operation_id is None:
            continue
        sent_at = min(event.invoked_at for event in events)
        returns = [event.returned_at for event in events if event.outcome in ("ok", "no")]
        back_at = min(returns, default=float("inf"))
        for leg in cards.by_operation[fact.operation_id]:
            points[leg.card_id].append((leg.version, 0, sent_at, back_at))
        if fact.outcome == "refused" and fact.decided_version is not None and fact.card_id:
            points[fact.card_id].append((fact.decided_version, 1, sent_at, back_at))
    for event in history.events:
        if event.operation == "get_card" and event.outcome == "ok":
            version = event.answer["version"]
            points[event.card_id].append((version, 1, event.invoked_at, event.returned_at))
    return [text for card_id, seen in points.items() for text in _sweep(card_id, seen)]


def _sweep(card_id: str, points: list[tuple[int, int, float, float]]) -> Iterator[str]:
    newest_send = float("-inf")  # of everything that stands strictly before
    waiting = float("-inf")  # of what stands at the same place
    place = (0, 0)
    for version, rank, sent_at, back_at in sorted(points):
        if (version, rank) != place:
            newest_send, waiting = max(newest_send, waiting), float("-inf")
            place = (version, rank)
        if back_at < newest_send:
            kind = (
                "H5 a read or refusal out of real time" if rank else "H4 a write out of real time"
            )
            yield f"{kind} at {card_id}/{version}"
        waiting = max(waiting, sent_at)
