"""The plan of the day: every choice of every customer and till, from the seed alone.

Nothing in it depends on an answer or on timing, so one seed and one length give one plan.
"""

import hashlib
from collections import deque
from random import Random

import msgspec
from msgspec import Struct, field

from tests.demo.chain import PAYS, STORES
from tests.demo.chapters import CHAPTERS, DAY_CLOSES, DEATH, Chapter
from tests.demo.messages import OFFICE, Mishap, Visit, role
from tests.demo.wares import basket, basket_line

# Each place does at least so much in a chapter, however short the demo.
VISITS_MIN = 6
# How many of a till's customers also go to another store.
ROAMING = 0.5
# The stores but the last close then.
SHUTTERS = 22 * 60
# What needs an earlier visit, and what that must have been.
EARLIER = {"give_back": "sell", "void": "sell", "payment_failed": "top_up"}
WAYS = {"give_back": ("all", "line", "half")}


class Plan(Struct, frozen=True):
    """The visits of each place in order, and the store whose till dies."""

    seed: int
    seconds: float
    dies: int
    visits: dict[int, list[Visit]]

    @property
    def digest(self) -> str:
        """Short and the same for the same decisions."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


class _People(Struct):
    """Who there is so far: template by customer, regulars by store, and whose card is frozen."""

    templates: list[int] = field(default_factory=list)
    regulars: list[list[int]] = field(default_factory=lambda: [[] for _ in STORES])
    frozen: deque[int] = field(default_factory=deque)


def make(seed: int, seconds: float) -> Plan:
    """Decide everything."""
    dies = Random(f"{seed}/dies").randrange(len(STORES))
    visits: dict[int, list[Visit]] = {place: [] for place in (OFFICE, *range(len(STORES)))}
    people = _People()
    for number, chapter in enumerate(CHAPTERS):
        # Tills meet those who had a card before the chapter: their card is surely there.
        for place in (*range(len(STORES)), OFFICE):
            luck = Random(f"{seed}/{role(place)}/{number}")
            for at in _moments(luck, chapter, place, seconds):
                visits[place].append(_visit(luck, number, at, place, visits[place], people))
            if number == DEATH and place == dies:
                _let_die(luck, visits[place])
        _walk_in(seed, people)
    return Plan(seed, seconds, dies, visits)


def _moments(luck: Random, chapter: Chapter, place: int, seconds: float) -> list[float]:
    """When visits of a chapter begin; a store that closes earlier has its own before that."""
    if place != OFFICE and not chapter.tills:
        return []
    ends = 1.0
    if chapter.closes == DAY_CLOSES and place not in (OFFICE, len(STORES) - 1):
        ends = (SHUTTERS - chapter.opens) / (chapter.closes - chapter.opens)
    number = max(VISITS_MIN, round(chapter.share * seconds * chapter.pace))
    return sorted(round(luck.uniform(0, ends), 4) for _ in range(number))


def _visit(
    luck: Random, number: int, at: float, place: int, before: list[Visit], people: _People
) -> Visit:
    chapter = CHAPTERS[number]
    wishes = chapter.phones if place == OFFICE else chapter.tills
    what = luck.choices(list(wishes), list(wishes.values()))[0]
    candidates = [one.number for one in before if one.what == EARLIER.get(what)]
    if what in EARLIER and not candidates:
        what = "sell" if place != OFFICE else "order"
    customer = _customer(luck, what, place, people)
    if customer is None:
        what, customer = "look", 0
    template = people.templates[customer]
    return Visit(
        number=len(before),
        chapter=number,
        at=at,
        what=what,
        customer=customer,
        template=template,
        store=luck.randrange(len(STORES)),
        lines=_party() if what == "overspend" else basket(luck),
        pay=luck.choice(PAYS[template]),
        tender=luck.choice(("wechat_pay", "alipay") if place == OFFICE else ("cash", "bank_card")),
        earlier=luck.choice(candidates) if candidates else 0,
        way=_way(luck, what),
        mishap=_mishap(luck, chapter),
        late_s=round(luck.uniform(0.001, 0.02), 4),
        quoted=luck.random() < 0.2,
        pays_up=luck.random() < 0.85,
        arrives=luck.random() < 0.6,
    )


def _customer(luck: Random, what: str, place: int, people: _People) -> int | None:
    """Whom the visit is of; a new one when somebody joins, None when nobody fits."""
    if what == "join":
        people.templates.append(luck.choices((0, 1), (7, 3))[0])
        return len(people.templates) - 1
    if what == "unfreeze":
        # At least two cards stay frozen, for the tills to meet.
        return people.frozen.popleft() if len(people.frozen) > 2 else None
    everybody = sorted(set().union(*people.regulars))
    chosen = luck.choice(everybody if place == OFFICE else people.regulars[place])
    if what == "freeze":
        if chosen in people.frozen:
            return None
        people.frozen.append(chosen)
    return chosen


def _walk_in(seed: int, people: _People) -> None:
    """Those who joined become regulars: of a store, and some of another one too."""
    known = set().union(*people.regulars)
    for customer in range(len(people.templates)):
        if customer not in known:
            luck = Random(f"{seed}/customer/{customer}")
            home = customer % len(STORES)
            people.regulars[home].append(customer)
            if luck.random() < ROAMING:
                other = luck.choice([store for store in range(len(STORES)) if store != home])
                people.regulars[other].append(customer)


def _mishap(luck: Random, chapter: Chapter) -> Mishap:
    return luck.choices(list(chapter.mishaps), list(chapter.mishaps.values()))[0]


def _way(luck: Random, what: str) -> str:
    """How something is given back; what a till does after a sale that it should not do."""
    if what == "sell":
        return luck.choices(("", "new_key", "other_amount", "void"), (94, 1, 1, 4))[0]
    return luck.choice(WAYS[what]) if what in WAYS else ""


def _party() -> list[dict[str, object]]:
    """A wedding party on one card."""
    return [basket_line("1", "PERM", 14, 0), basket_line("2", "DYE", 14, 0)]


def _let_die(luck: Random, visits: list[Visit]) -> None:
    """Early in the chapter, one visit is the till's last."""
    mine = [place for place, one in enumerate(visits) if one.chapter == DEATH]
    last = mine[len(mine) // 3]
    visits[last] = msgspec.structs.replace(visits[last], what="die", mishap="none")
