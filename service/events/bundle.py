"""A bundle: a merchant's whole chain in files, with a program that checks it on any machine."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

import asyncpg
import msgspec
from msgspec import Struct

from service.events import anchors
from service.kernel import database
from service.kernel.sql import SQL

SEGMENTS_PER_READ = 50
CHECKER = "verify_bundle.py"


class Segment(Struct):
    """A link of the chain, as `segments.jsonl` has it; digests in hexadecimal."""

    merchant_id: str
    segment_no: int
    first_seq: int
    last_seq: int
    sealed_at: str
    digest: str
    hash: str


class BundleMade(Struct):
    """What a bundle holds."""

    folder: str
    merchant_id: str
    segments: int
    entries: int
    anchors: int


async def write(dsn: str, merchant_id: str, folder: Path, anchor_dir: Path) -> BundleMade:
    """Write a merchant's chain into a new folder.

    Raises FileExistsError when it is there, ValueError when the merchant has no chain.
    """
    kept = anchors.read(anchor_dir).get(merchant_id, [])
    made = BundleMade(str(folder), merchant_id, 0, 0, len(kept))
    with _opened(folder) as (segments, entries):
        async for segment, lines in _segments(dsn, merchant_id):
            segments.write(msgspec.json.encode(segment) + b"\n")
            entries.write(lines.encode("utf-8") + b"\n")
            made.segments, made.entries = segment.segment_no, segment.last_seq
    if not made.segments:
        raise ValueError(f"nothing of the merchant {merchant_id} is numbered")
    text = b"".join(msgspec.json.encode(anchor) + b"\n" for anchor in kept)
    (folder / "anchors.jsonl").write_bytes(text)
    checker = files("service.events").joinpath(CHECKER).read_bytes()
    (folder / CHECKER).write_bytes(checker)
    return made


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The two files that grow together, in a new folder."""
    folder.mkdir(parents=True)
    with (
        open(folder / "segments.jsonl", "wb") as segments,
        open(folder / "entries.jsonl", "wb") as entries,
    ):
        yield segments, entries


async def _segments(dsn: str, merchant_id: str) -> AsyncIterator[tuple[Segment, str]]:
    """The segments in their order, each with the lines that it seals; a few at a time."""
    connection: database.Connection = await asyncpg.connect(
        dsn, server_settings={"application_name": "kafang-bundle", "timezone": "UTC"}
    )
    try:
        last = 0
        while True:
            async with connection.transaction(readonly=True):
                await connection.execute(SQL["tenant.set"], merchant_id)
                rows = await connection.fetch(
                    SQL["chain.segments"], merchant_id, last, SEGMENTS_PER_READ
                )
            for *fields, lines in rows:
                yield Segment(merchant_id, *fields), lines or ""
            if not rows:
                return
            last = rows[-1]["segment_no"]
    finally:
        await connection.close()
