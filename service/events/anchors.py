"""Anchors: where each chain ended at an instant, kept outside the database.

Whoever owns the database can write a whole chain anew. What it was is then still told by a file
that they can't reach: a line of JSON for each chain that moved, added every few minutes and never
changed. `verify` compares (THREAT-T23).
"""

import asyncio
import logging
import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import msgspec
from msgspec import Struct

from service.kernel import database
from service.kernel.database import Connection
from service.kernel.sql import SQL
from service.ledger.invariants import Breach

log = logging.getLogger(__name__)

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# A chain that moved may be seen later than one that moved after it: it is looked for as long.
_OVERLAP = timedelta(minutes=10)


class Anchor(Struct, frozen=True):
    """The end of a merchant's chain when it was written down; `hash` in hexadecimal."""

    merchant_id: str
    segment_no: int
    seq: int
    hash: str
    moved_at: datetime


class Anchors:
    """The files of a folder, one for each month."""

    def __init__(self, folder: Path, every_s: float) -> None:
        self._folder = folder
        self._every_s = every_s
        self._due_at = 0.0
        self._since: datetime | None = None
        self._written: set[tuple[str, int]] = set()

    async def keep(self, connection: Connection) -> None:
        """Write down every chain that moved since the last time, when it is time."""
        if monotonic() < self._due_at:
            return
        self._due_at = monotonic() + self._every_s
        try:
            if self._since is None:
                self._since = await asyncio.to_thread(_last_instant, self._folder)
            found = await database.many(connection, "chain.heads", Anchor, self._since - _OVERLAP)
            fresh = [anchor for anchor in found if _name(anchor) not in self._written]
            if fresh:
                await asyncio.to_thread(_append, self._folder, fresh)
                self._since = found[-1].moved_at
            self._written = {_name(anchor) for anchor in found}
        except OSError as error:
            log.error("anchors can't be written to %s: %s", self._folder, error.strerror)


def read(folder: Path) -> dict[str, list[Anchor]]:
    """All anchors by merchant. Raises ValueError for a line that is none."""
    found: dict[str, list[Anchor]] = defaultdict(list)
    for file in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(_whole_lines(file), 1):
            try:
                anchor = msgspec.json.decode(line, type=Anchor)
            except msgspec.MsgspecError:
                raise ValueError(f"{file}, line {number} is no anchor") from None
            found[anchor.merchant_id].append(anchor)
    return dict(found)


async def breaches(connection: Connection, folder: Path) -> list[Breach]:
    """Where a chain isn't what its anchors say it was (INV-D12)."""
    found = []
    for merchant_id, anchors in read(folder).items():
        async with connection.transaction():
            await connection.execute(SQL["tenant.set"], merchant_id)
            numbers = [anchor.segment_no for anchor in anchors]
            rows = await connection.fetch(SQL["chain.anchored"], merchant_id, numbers)
        stands = {row["segment_no"]: (row["seq"], row["hash"]) for row in rows}
        found += [
            Breach("INV-D12", merchant_id, f"segment {anchor.segment_no}", _told(anchor, stands))
            for anchor in anchors
            if stands.get(anchor.segment_no) != (anchor.seq, anchor.hash)
        ]
    return found


def _name(anchor: Anchor) -> tuple[str, int]:
    return anchor.merchant_id, anchor.segment_no


def _told(anchor: Anchor, stands: dict[int, tuple[int, str]]) -> str:
    if anchor.segment_no not in stands:
        return f"is gone: an anchor of {anchor.moved_at.isoformat()} names it"
    return f"is not what an anchor of {anchor.moved_at.isoformat()} says it was"


def _last_instant(folder: Path) -> datetime:
    """When the last chain moved that was anchored here."""
    files = sorted(folder.glob("*.jsonl"))
    lines = _whole_lines(files[-1]) if files else []
    return msgspec.json.decode(lines[-1], type=Anchor).moved_at if lines else _BEGINNING


def _whole_lines(file: Path) -> list[bytes]:
    """Its lines, without what a crash left of one."""
    return file.read_bytes().split(b"\n")[:-1]


def _append(folder: Path, anchors: list[Anchor]) -> None:
    """Add lines, on the disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    text = b"".join(msgspec.json.encode(anchor) + b"\n" for anchor in anchors)
    with open(folder / f"{anchors[-1].moved_at:%Y-%m}.jsonl", "a+b") as file:
        file.seek(0)
        written = file.read()
        file.truncate(written.rfind(b"\n") + 1)  # what a crash left of a line
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
