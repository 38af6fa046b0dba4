"""What the demo's processes tell each other: one JSON document a line."""

import msgspec
from msgspec import Struct, field

OFFICE = -1
"""The `place` of the mini-program; the tills' are 0, 1, 2 …"""


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


class Setup(Struct, frozen=True):
    """First line to a process: where to call, as whom, and what the chain has."""

    host: str
    port: int
    token: str
    place: int
    seed: int
    stores: list[Store]
    templates: list[Template]

    @property
    def role(self) -> str:
        """The process's name: also the beginning of its keys and the source of its randomness."""
        return "mini-program" if self.place == OFFICE else f"till-{self.place + 1}"


class Ready(Struct, frozen=True, tag=True):
    """A process has loaded and waits for its setup."""


class Customer(Struct, frozen=True, tag=True):
    """Somebody with a card. The mini-program reports new ones, the tills are told who comes in."""

    card_id: str
    card_number: str


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


Line = Op | Customer | Ready

encode = msgspec.json.Encoder().encode
decode_line = msgspec.json.Decoder(Line).decode
decode_setup = msgspec.json.Decoder(Setup).decode
decode_customer = msgspec.json.Decoder(Customer).decode
