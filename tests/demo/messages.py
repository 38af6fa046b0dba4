"""What the demo's processes tell each other: one JSON document a line."""

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

OFFICE = -1
"""The `place` of the mini-program; the tills' are 0, 1, 2 …"""

# cut: the line goes down right after sending. late: a moment later, maybe after the answer.
# double_tap: sent twice at once, over two lines.
Mishap = Literal["none", "cut", "late", "double_tap"]


class Store(Struct, frozen=True):
    """A store of the chain; the takings of a day are booked on it until `day_cutoff_hour`."""

    name: str
    legal_entity: str
    day_cutoff_hour: int
    store_id: str = ""


class Template(Struct, frozen=True):
    """A published template and the steps of its ladder that customers ask for."""

    template_id: str
    name: str
    pays: list[int]


class Visit(Struct, frozen=True, omit_defaults=True):
    """What a customer and a till will do, as decided before the day begins.

    `number` counts the visits of one place, `at` is the moment in its chapter (0 to 1). `customer`,
    `template` and `earlier` (a visit of the same place) are numbers too; amounts are in fen.
    """

    number: int
    chapter: int
    at: float
    what: str
    customer: int
    template: int = 0
    store: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    pay: int = 0
    tender: str = ""
    earlier: int = 0
    # Which of several ways: of giving back, or of blundering.
    way: str = ""
    mishap: Mishap = "none"
    # Seconds until the line is cut, when it is cut late.
    late_s: float = 0.0
    quoted: bool = False
    # Tops up when the card is short of it.
    pays_up: bool = False
    # Whether what was sent before the customer left gets to the server.
    arrives: bool = False


class Intent(Struct, frozen=True, tag=True):
    """The journal of a till: what it is about to send, kept where it survives the till."""

    key: str
    kind: str
    path: str
    body: Any
    # Whether the customer is still there when the till is back.
    waits: bool = True


class Setup(Struct, frozen=True):
    """First line to a process: where to call, as whom, what the chain has, its part of the plan.

    `unanswered`: what the process before it had sent, or was about to, when it died.
    """

    host: str
    port: int
    token: str
    place: int
    stores: list[Store]
    templates: list[Template]
    visits: list[Visit]
    unanswered: list[Intent] = field(default_factory=list)

    @property
    def role(self) -> str:
        """The process's name, also the beginning of its keys."""
        return role(self.place)


class Ready(Struct, frozen=True, tag=True):
    """A process has loaded and waits for its setup."""


class Customer(Struct, frozen=True, tag=True):
    """Somebody with a card. The mini-program reports new ones, the tills are told."""

    number: int
    card_id: str
    card_number: str


class Opens(Struct, frozen=True, tag=True):
    """A chapter begins, or began `elapsed_s` ago; its visits are spread over `seconds`."""

    chapter: int
    seconds: float
    elapsed_s: float = 0.0


class Took(Struct, frozen=True, tag=True):
    """A process begins a visit."""

    number: int


class Closed(Struct, frozen=True, tag=True):
    """A process is through with a chapter."""

    chapter: int


class Entry(Struct, frozen=True):
    """Value that a client was told has moved: flow (books.FLOWS), amounts in minor units."""

    flow: str
    operation_id: str
    principal: int
    bonus: int


class Op(Struct, frozen=True, tag=True):
    """One thing a client wanted, settled. `codes`: why not, empty when it was done.

    `latency_ms` is the time of the request that was answered; `sent` counts all requests, `drops`
    the lines that were cut on the way; `replayed` says that the answer had been given before.
    `fate` is what went wrong on the way, `became` how it ended.
    """

    kind: str
    place: int
    status: int
    latency_ms: float
    codes: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    sent: int = 1
    drops: int = 0
    replayed: int = 0
    # Booked on the day before: after midnight, before the store's cut-off.
    late_night: bool = False
    # A duplicate was answered otherwise than its first: must never be.
    contradicted: bool = False
    key: str = ""
    fate: str = "none"
    became: str = "done"
    # What a redemption sold: fen by sku.
    goods: dict[str, int] = field(default_factory=dict)
    # Minutes since the day's midnight when it was settled, by the merchant's clock.
    minute: int = 0


Line = Op | Customer | Ready | Took | Closed | Intent
Order = Opens | Customer

encode = msgspec.json.Encoder().encode
decode_line = msgspec.json.Decoder(Line).decode
decode_setup = msgspec.json.Decoder(Setup).decode
decode_order = msgspec.json.Decoder(Order).decode


def visit_name(place: int, number: int) -> str:
    """A visit's name: a till's own number of its sale, and what the keys of it begin with."""
    return f"{role(place)}-{number:06}"


def role(place: int) -> str:
    """The name of the process of a place."""
    return "mini-program" if place == OFFICE else f"till-{place + 1}"
