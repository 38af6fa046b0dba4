"""What a printed record says, in which order: texts alone, for the page and for the file.

Texts that people or programs sent come through `shown`: what would not be seen, or would turn
what stands beside it around, is written out as its code.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from schemas.problems import Reason
from schemas.records import CardRecord, RecordedMovement, RecordedRefusal
from service.kernel.money import EXPONENTS, written
from service.records.words import words
from service.rules.periods import zone

# Controls, and what shows as nothing but changes how other characters show.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_FROM_THE_RIGHT = frozenset({"R", "AL", "AN"})
# Around a text that runs from the right, so that it turns nothing beside it.
ISOLATE, END = "\u2068", "\u2069"
_DIGEST_SHOWN = 16
NONE = "–"


class Column(Struct):
    """A column: its head, its share of the width, and whether it holds amounts."""

    head: str
    share: int
    amount: bool = False


class Table(Struct):
    """A table; a cell's lines are parted by line breaks. `notes` stand below it."""

    name: str
    title: str
    columns: list[Column]
    rows: Sequence[tuple[str, ...]]
    sums: Sequence[tuple[str, ...]]
    notes: list[str]


class Sheet(Struct):
    """A record to print."""

    language: str
    title: str
    subtitle: str
    about: str
    as_of: datetime
    facts: list[tuple[str, str]]
    contract: str
    terms: list[str]
    tables: list[Table]
    proof: str
    notes: list[str]
    page: str
    no_glyph: str


def shown(text: str) -> str:
    """A text from outside as it may be printed."""
    seen = "".join(
        f"[U+{ord(sign):04X}]" if unicodedata.category(sign) in _UNSEEN else sign for sign in text
    )
    turned = any(unicodedata.bidirectional(sign) in _FROM_THE_RIGHT for sign in seen)
    return f"{ISOLATE}{seen}{END}" if turned else seen


def sheet(record: CardRecord) -> Sheet:
    """The printed form of a record."""
    return _Writer(record).sheet()


class _Writer:
    """Writes one record in its language."""

    def __init__(self, record: CardRecord) -> None:
        self.record = record
        self.told = words()[record.language]
        self.currency = record.card.balances.currency
        self.stores = {store.id: store for store in record.stores}
        entities = {line.legal_entity for line in record.movements if line.legal_entity}
        self.entities = sorted(entities)

    def sheet(self) -> Sheet:
        """All of it."""
        record, told = self.record, self.told
        return Sheet(
            language=record.language,
            title=told["title"],
            subtitle=told["subtitle"],
            about=f"{shown(record.merchant.name)} · {record.card.masked_number}",
            as_of=record.as_of,
            facts=list(self._facts()),
            contract=told["contract"],
            terms=[shown(term) for term in record.contract.terms],
            tables=[self._totals(), self._lots(), self._movements(), self._refusals()],
            proof=told["proof"],
            notes=self._proof(),
            page=told["page"],
            no_glyph=told["no_glyph"],
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        record, told, card = self.record, self.told, self.record.card
        yield told["merchant"], shown(record.merchant.name) + self._aside(record.merchant.id)
        yield told["legal_entity"], "\n".join(map(shown, self.entities)) or told["nothing"]
        yield told["card"], card.masked_number + self._aside(card.id)
        yield told["holder"], told[card.holder]
        published = self._local(record.contract.published_at, None)[:10]
        versioned = told["versioned"].format(version=card.template_version, at=published)
        yield told["template"], shown(record.contract.rules.name) + self._aside(versioned)
        yield told["status"], told[card.status]
        yield told["created_at"], self._local(card.created_at, None)
        active = self._local(card.activated_at, None) if card.activated_at else NONE
        yield told["activated_at"], active
        yield told["expires_on"], str(card.expires_on or told["never"])
        yield told["spendable"], self._spendable()
        yield told["as_of"], self._local(record.as_of, None)
        yield told["part"], self._part()

    def _spendable(self) -> str:
        balances, told = self.record.card.balances, self.told
        parts = [
            f"{told[name]} {self._money(value)}"
            for name, value in (("principal", balances.principal), ("bonus", balances.bonus))
        ]
        return self._money(balances.total) + self._aside(told["list_join"].join(parts))

    def _part(self) -> str:
        record, told = self.record, self.told
        lines = record.movements
        text = told["part_of"].format(
            first=lines[0].version if lines else NONE,
            last=lines[-1].version if lines else NONE,
            all=record.movement_count,
            refused=len(record.refusals),
            all_refused=record.refusal_count,
        )
        return f"{text}\n{told['part_more']}" if record.next_cursor else text

    def _totals(self) -> Table:
        told = self.told
        principal, bonus = self.record.totals
        rows, sums = [], [0, 0, 0, 0, 0]
        for one, other in zip(principal.flows, bonus.flows, strict=True):
            flows = (one.value_in, one.value_out, other.value_in, other.value_out)
            rows.append((told[one.kind], str(one.operations), *map(self._money, flows)))
            sums = [a + b for a, b in zip(sums, (one.operations, *flows), strict=True)]
        operations, *flows_sum = sums
        names = ("kind", "operations", "principal_in", "principal_out", "bonus_in", "bonus_out")
        columns = [Column(told[name], 2, number > 0) for number, name in enumerate(names)]
        notes = [
            told["closing_sum"].format(
                account=told[total.account],
                zero=self._money(total.opening),
                added=self._money(added),
                taken=self._money(taken),
                closing=self._money(total.closing),
            )
            for total, added, taken in (
                (principal, flows_sum[0], flows_sum[1]),
                (bonus, flows_sum[2], flows_sum[3]),
            )
        ]
        last = (told["sum"], str(operations), *map(self._money, flows_sum))
        return Table("totals", told["totals"], columns, rows, [last], notes)

    def _lots(self) -> Table:
        told = self.told
        columns = [
            Column(told["account"], 2),
            Column(told["origin"], 5),
            Column(told["credited"], 2, True),
            Column(told["remaining"], 2, True),
            Column(told["expires_on"], 2),
        ]
        rows = [
            (
                told[lot.account],
                told["from_movement"].format(version=lot.from_version, kind=told[lot.kind]),
                self._money(lot.amount),
                self._money(lot.remaining),
                str(lot.expires_on or told["never"]),
            )
            for lot in self.record.lots
        ]
        notes = [] if rows else [told["no_lots"]]
        return Table("lots", told["lots"], columns, rows, [], notes)

    def _movements(self) -> Table:
        told = self.told
        columns = [
            Column(told["number"], 4),
            Column(told["time"], 13),
            Column(told["kind"], 7),
            Column(told["place"], 13),
            Column(told["numbers"], 20),
            Column(told["details"], 18),
            Column(told["change_principal"], 8, True),
            Column(told["change_bonus"], 8, True),
            Column(told["balance_principal"], 8, True),
            Column(told["balance_bonus"], 8, True),
        ]
        rows = [
            (
                str(line.version),
                self._time(line),
                f"{told[line.kind]}\n{told[line.status]}",
                self._place(line),
                self._numbers(line),
                "\n".join(self._details(line)),
                self._delta(line.principal_delta),
                self._delta(line.bonus_delta),
                self._money(line.principal),
                self._money(line.bonus),
            )
            for line in self.record.movements
        ]
        return Table("movements", told["movements"], columns, rows, [], [])

    def _refusals(self) -> Table:
        told = self.told
        columns = [
            Column(told["time"], 13),
            Column(told["kind"], 7),
            Column(told["place"], 13),
            Column(told["numbers"], 20),
            Column(told["asked"], 8, True),
            Column(told["reasons"], 30),
        ]
        rows = [
            (
                self._time(line),
                told[line.kind],
                self._place(line),
                self._numbers(line),
                self._asked(line),
                "\n".join(map(self._reason, line.reasons)),
            )
            for line in self.record.refusals
        ]
        notes = [] if self.record.refusal_count else [told["no_refusals"]]
        return Table("refusals", told["refusals"], columns, rows, [], notes)

    def _asked(self, line: RecordedRefusal) -> str:
        """In the currency it was sent in, which may be none that there is."""
        currency = line.currency or self.currency
        if currency in EXPONENTS:
            return written(line.amount, currency)
        return f"{line.amount} {shown(currency)}"

    def _reason(self, reason: Reason) -> str:
        text = f"{reason.code}: {shown(self.record.meanings.get(reason.code, reason.message))}"
        if reason.missing_minor:
            text += self._aside(self._money(reason.missing_minor))
        return text

    def _proof(self) -> list[str]:
        told, proof = self.told, self.record.proof
        chains = (("proof_movements", proof.movements), ("proof_refusals", proof.refusals))
        return [
            told["proof_method"],
            *(
                told[name].format(opening=chain.opening, closing=chain.closing)
                for name, chain in chains
            ),
            told["proof_head"].format(head=proof.head),
        ]

    def _time(self, line: RecordedMovement | RecordedRefusal) -> str:
        at = line.occurred_at if isinstance(line, RecordedMovement) else line.recorded_at
        day = self.told["business_date"].format(date=line.business_date)
        return f"{self._local(at, line.store_id)}\n{day}"

    def _place(self, line: RecordedMovement | RecordedRefusal) -> str:
        store = self.stores.get(line.store_id or "")
        parts = [shown(store.name) if store else self.told["no_store"]]
        if line.legal_entity and len(self.entities) > 1:
            parts.append(shown(line.legal_entity))
        return "\n".join([*parts, *self._labelled(line, "terminal", "operator", "shift")])

    def _numbers(self, line: RecordedMovement | RecordedRefusal) -> str:
        return "\n".join(
            [
                *self._labelled(line, "receipt_no", "request_no"),
                self.told["operation"].format(value=line.operation_id),
                self.told["digest"].format(value=line.digest[:_DIGEST_SHOWN]),
            ]
        )

    def _labelled(self, line: RecordedMovement | RecordedRefusal, *labels: str) -> Iterator[str]:
        for label in labels:
            value = line.terminal_id if label == "terminal" else getattr(line, label)
            if value:
                yield self.told[label].format(value=shown(value))

    def _details(self, line: RecordedMovement) -> Iterator[str]:
        told = self.told
        if line.tender:
            yield told["tender"].format(value=told[line.tender])
        if line.payment_reference:
            yield told["payment_reference"].format(value=shown(line.payment_reference))
        for item in line.lines:
            more = "".join(
                told[name].format(value=self._money(value))
                for name, value in (("discount", item.discount), ("tax", item.tax))
                if value
            )
            yield told["basket_line"].format(
                sku=shown(item.sku),
                price=self._money(item.list_price),
                quantity=item.quantity,
                more=more,
                total=self._money(item.total),
            )
        for given in line.refunded_lines:
            value = self._money(given.value)
            yield told["refunded_line"].format(line=shown(given.line_id), value=value)
        if line.undoes:
            yield told["undoes"].format(version=line.undoes_version)
        if line.reason:
            yield told["reason"].format(value=shown(line.reason))

    def _local(self, instant: datetime, store_id: str | None) -> str:
        """An instant on the store's clock; at no store, the merchant's."""
        store = self.stores.get(store_id or "")
        place = store.time_zone if store else self.record.merchant.time_zone
        return instant.astimezone(zone(place)).isoformat(" ", "seconds")

    def _aside(self, text: str) -> str:
        return self.told["aside"].format(value=text)

    def _money(self, value: int) -> str:
        return written(value, self.currency)

    def _delta(self, value: int) -> str:
        return f"+{self._money(value)}" if value > 0 else self._money(value) if value else NONE
