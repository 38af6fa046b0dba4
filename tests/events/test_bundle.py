"""A bundle checks itself on any machine, and finds every tampering before the last anchor.

GOAL-G12, THREAT-T23, INV-D12.
"""

import copy
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from service.events import verify_bundle

TAMPERINGS = 10_000
MERCHANT = "mer_06f2k9v3c0a1b2c3d4e5f6g7h8"


class Bundle(Struct):
    """What the files hold: segments, the lines that they seal, and anchors."""

    segments: list[dict[str, Any]]
    lines: list[bytes]
    anchors: list[dict[str, Any]]

    def problems(self) -> list[str]:
        """What the checker says of it."""
        segments, anchors = (
            [json.dumps(each).encode() + b"\n" for each in listed]
            for listed in (self.segments, self.anchors)
        )
        lines = [line + b"\n" for line in self.lines]
        return list(verify_bundle.problems(segments, lines, anchors))


def sealed(lines: list[bytes], sizes: list[int]) -> list[dict[str, Any]]:
    """A whole chain over these lines, in segments of these sizes."""
    segments: list[dict[str, Any]] = []
    seq, previous = 0, "0" * 64
    for number, size in enumerate(sizes, 1):
        own = lines[seq : seq + size]
        segment = {
            "merchant_id": MERCHANT,
            "segment_no": number,
            "first_seq": seq + 1,
            "last_seq": seq + size,
            "sealed_at": f"2026-03-01T10:{number:02d}:00.000000Z",
            "digest": hashlib.sha256(b"\n".join(own)).hexdigest(),
        }
        parts = ["kafang-segment-1", *(str(value) for value in segment.values()), previous]
        previous = hashlib.sha256("|".join(parts).encode()).hexdigest()
        segments.append({**segment, "hash": previous})
        seq += size
    return segments


def anchored(segment: dict[str, Any]) -> dict[str, Any]:
    """What was written down of a segment when it was the last one."""
    return {
        "merchant_id": MERCHANT,
        "segment_no": segment["segment_no"],
        "seq": segment["last_seq"],
        "hash": segment["hash"],
        "moved_at": segment["sealed_at"],
    }


@pytest.fixture(scope="module")
def whole() -> Bundle:
    """A chain of forty segments with three anchors, the last one at segment 36."""
    chance = random.Random(26)
    sizes = [chance.choice([1, 1, 2, 5, 9]) for _ in range(40)]
    lines = [
        json.dumps({"operation_id": f"rdm_{number:026d}", "amount": chance.randrange(99_999)})
        for number in range(sum(sizes))
    ]
    encoded = [line.encode() for line in lines]
    segments = sealed(encoded, sizes)
    return Bundle(segments, encoded, [anchored(segments[place]) for place in (9, 20, 35)])


def sizes_of(bundle: Bundle) -> list[int]:
    """How many lines each segment seals."""
    return [each["last_seq"] - each["first_seq"] + 1 for each in bundle.segments]


# What a tamperer does to a bundle, with what lies before the last anchor: `most` lines and `last`
# segments. Each leaves something that differs from what was there.


def alter(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """Another byte in an event."""
    place = chance.randrange(most)
    line = bytearray(bundle.lines[place])
    line[chance.randrange(len(line))] ^= 1 << chance.randrange(3)
    bundle.lines[place] = bytes(line)


def alter_segment(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """Another value in a segment."""
    segment = bundle.segments[chance.randrange(last)]
    field = chance.choice(sorted(segment))
    if isinstance(segment[field], int):
        segment[field] += chance.choice([-1, 1, 7])
    else:
        place = chance.randrange(len(segment[field]))
        other = "a" if segment[field][place] != "a" else "b"
        segment[field] = segment[field][:place] + other + segment[field][place + 1 :]


def remove(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """An event less."""
    del bundle.lines[chance.randrange(most)]


def remove_segment(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """A segment less, with its events."""
    segment = bundle.segments.pop(chance.randrange(last))
    del bundle.lines[segment["first_seq"] - 1 : segment["last_seq"]]


def insert(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """An event more, a copy of another."""
    bundle.lines.insert(chance.randrange(most), bundle.lines[chance.randrange(most)])


def insert_segment(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """A segment more, a copy of another."""
    copied = dict(bundle.segments[chance.randrange(last)])
    bundle.segments.insert(chance.randrange(last), copied)


def reorder(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """Two events change places."""
    one, other = chance.sample(range(most), 2)
    lines = bundle.lines
    lines[one], lines[other] = lines[other], lines[one]


def reorder_segments(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """Two segments change places."""
    one, other = chance.sample(range(last), 2)
    segments = bundle.segments
    segments[one], segments[other] = segments[other], segments[one]


def fork(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """An event is another one, and all is sealed anew: as good a chain, but not the one it was."""
    alter(bundle, chance, most, last)
    bundle.segments = sealed(bundle.lines, sizes_of(bundle))


def cut(bundle: Bundle, chance: random.Random, most: int, last: int) -> None:
    """The chain ends earlier than it once did."""
    kept = chance.randrange(1, last)
    del bundle.segments[kept:]
    del bundle.lines[bundle.segments[-1]["last_seq"] :]


KINDS: list[Callable[[Bundle, random.Random, int, int], None]] = [
    alter, alter_segment, remove, remove_segment, insert, insert_segment, reorder,
    reorder_segments, fork, cut,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_tampering_is_found(kind: Any, whole: Bundle) -> None:
    assert whole.problems() == []
    last = max(anchor["segment_no"] for anchor in whole.anchors)
    most = whole.segments[last - 1]["last_seq"]
    for seed in range(TAMPERINGS // len(KINDS)):
        bundle = copy.deepcopy(whole)
        kind(bundle, random.Random(f"{kind.__name__} {seed}"), most, last)
        assert bundle.problems(), f"{kind.__name__} {seed} was not found"


@pytest.mark.parametrize("kind", [fork, cut], ids=lambda kind: kind.__name__)
def test_without_anchors_a_chain_made_anew_passes(kind: Any, whole: Bundle) -> None:
    """The negative control: it is the anchors that find these two."""
    last = max(anchor["segment_no"] for anchor in whole.anchors)
    bundle = copy.deepcopy(whole)
    kind(bundle, random.Random(1), whole.segments[last - 1]["last_seq"], last)
    assert bundle.problems()
    bundle.anchors = []
    assert not bundle.problems()


def test_the_checker_runs_by_itself(whole: Bundle, tmp_path: Path) -> None:
    """Without anything of ours, nor anything that was installed."""
    program = tmp_path / "verify_bundle.py"
    program.write_bytes(Path(verify_bundle.__file__).read_bytes())

    def run(bundle: Bundle) -> tuple[int, str]:
        parts = bundle.segments, [json.loads(line) for line in whole.lines], bundle.anchors
        for name, listed in zip(verify_bundle.FILES, parts, strict=True):
            (tmp_path / name).write_text("".join(json.dumps(each) + "\n" for each in listed))
        ran = subprocess.run(
            [sys.executable, "-I", "-S", str(program)], capture_output=True, text=True, check=False
        )
        return ran.returncode, ran.stdout + ran.stderr

    assert run(whole) == (0, "the chain is whole\n")
    bundle = copy.deepcopy(whole)
    bundle.segments[3]["hash"] = "0" * 64
    code, said = run(bundle)
    assert code == 1
    assert "segment 4: its hash is not that of its fields" in said
