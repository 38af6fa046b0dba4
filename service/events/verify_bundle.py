#!/usr/bin/env python3
"""Checks a bundle of Kafang's event chain. It needs Python 3.10 or newer, and nothing else.

    python3 verify_bundle.py [FOLDER]

What is checked, and how you would check it by hand:

1. entries.jsonl holds a line for each event, in the order of their numbers. The lines of a segment
   are those with its numbers, first_seq to last_seq. Joined by line breaks, their SHA-256 is the
   segment's `digest`.
2. The segment's `hash` is the SHA-256 of these, joined by bars: kafang-segment-1, merchant_id,
   segment_no, first_seq, last_seq, sealed_at, digest, and the hash of the segment before (64 zeros
   before the first). Numbers go on where the segment before ended.
3. Every anchor names a segment by number, and its hash is that segment's. Anchors were written
   when the segment was new, to a place that whoever writes the database doesn't reach: get them
   from there, not only from this bundle.

So nothing before the last anchor can have been changed, removed, added or moved since.
"""

import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FILES = ("segments.jsonl", "entries.jsonl", "anchors.jsonl")
FIELDS = ("merchant_id", "segment_no", "first_seq", "last_seq", "sealed_at", "digest")


def problems(
    segments: Iterable[bytes], lines: Iterable[bytes], anchors: Iterable[bytes]
) -> Iterator[str]:
    """Yield what is wrong. All three are lines of JSON."""
    rest = iter(lines)
    wanted: dict[int, list[Any]] = {}
    for anchor in map(json.loads, anchors):
        wanted.setdefault(anchor["segment_no"], []).append(anchor)
    merchant_id, previous, last_seq = "", "0" * 64, 0
    for number, segment in enumerate(map(json.loads, segments), 1):
        merchant_id = merchant_id or segment["merchant_id"]
        if segment["merchant_id"] != merchant_id or segment["segment_no"] != number:
            yield f"segment {number} is another one"
        if segment["first_seq"] != last_seq + 1 or segment["last_seq"] < segment["first_seq"]:
            yield f"segment {number} doesn't go on where the one before ended"
        count = max(0, segment["last_seq"] - last_seq)
        last_seq += count
        own = [line.rstrip(b"\n") for line in itertools.islice(rest, count)]
        if hashlib.sha256(b"\n".join(own)).hexdigest() != segment["digest"]:
            yield f"segment {number}: its events are not what was sealed"
        parts = ["kafang-segment-1", *(str(segment[field]) for field in FIELDS), previous]
        previous = hashlib.sha256("|".join(parts).encode("utf-8")).hexdigest()
        if previous != segment["hash"]:
            yield f"segment {number}: its hash is not that of its fields and the segment before"
        found = (segment["merchant_id"], segment["last_seq"], segment["hash"])
        for anchor in wanted.pop(number, []):
            if (anchor["merchant_id"], anchor["seq"], anchor["hash"]) != found:
                yield f"segment {number} is not what an anchor of {anchor['moved_at']} says"
    for number in sorted(wanted):
        yield f"segment {number} is gone: an anchor names it"
    if next(rest, None) is not None:
        yield "there are events that no segment seals"


def main() -> None:
    """Check the folder that is named, or this one; exit 1 when something is wrong."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    found = 0
    with (
        open(folder / FILES[0], "rb") as segments,
        open(folder / FILES[1], "rb") as entries,
        open(folder / FILES[2], "rb") as anchors,
    ):
        for problem in problems(segments, entries, anchors):
            found += 1
            print(problem)
    print(f"{found} problems" if found else "the chain is whole")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
