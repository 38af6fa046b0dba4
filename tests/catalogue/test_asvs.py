"""Every requirement of the ASVS is answered once: by tests, by what holds it, or by why not."""

import hashlib

import pytest

from tests.catalogue import asvs
from tests.catalogue.asvs import Requirement

LEVEL_1, LEVEL_2 = 70, 183
# SHA-256 of the standard's own list, 5.0.0: a line `V1.1.1 2` for each, in its order.
LISTED = "9af37b810927c5eedfe1d3e716a571ebac199cf378c2fb4a3ccb64aa29f2a70a"
FEATURES = {"cookies": "no cookies"}
GOOD = Requirement(1, "cookies are Secure", absent="cookies")


def listed(requirements: dict[str, Requirement]) -> str:
    """The digest of ids and levels."""
    lines = "".join(f"{name} {row.level}\n" for name, row in requirements.items())
    return hashlib.sha256(lines.encode("ascii")).hexdigest()


def test_the_page_is_up_to_date() -> None:
    assert asvs.PAGE.read_text("utf-8") == asvs.page()


def test_every_requirement_is_there_once() -> None:
    requirements = asvs.catalogue().requirements
    levels = [row.level for row in requirements.values()]
    assert (levels.count(1), levels.count(2)) == (LEVEL_1, LEVEL_2)
    assert listed(requirements) == LISTED
    assert listed({**requirements, "V1.1.1": GOOD}) != LISTED


def test_every_requirement_is_answered() -> None:
    known = asvs.catalogue()
    found = [asvs.faults(name, row, known.features) for name, row in known.requirements.items()]
    assert [fault for each in found for fault in each] == []
    assert {name.partition(".")[0] for name in known.requirements} == set(known.chapters)
    assert {row.absent for row in known.requirements.values()} - {None} == set(known.features)


@pytest.mark.parametrize(
    "bad",
    [
        Requirement(1, "x"),
        Requirement(1, "x", absent="cookies", gap="y"),
        Requirement(1, " ", absent="cookies"),
        Requirement(1, "x", tests=[]),
        Requirement(1, "x", tests=["tests/catalogue/test_none.py"]),
        Requirement(1, "x", tests=["tests/catalogue/asvs.py"]),
        Requirement(1, "x", held="service/none.py: y"),
        Requirement(1, "x", held="service/app.py"),
        Requirement(1, "x", absent="cakes"),
        Requirement(1, "x", gap=" "),
    ],
    ids=[
        "no status", "two", "nothing said", "no test", "no such test", "no test file",
        "no such file", "no reason", "no such feature", "nothing missing",
    ],
)  # fmt: skip
def test_a_bad_answer_is_seen(bad: Requirement) -> None:
    assert list(asvs.faults("V0", GOOD, FEATURES)) == []
    assert len(list(asvs.faults("V0", bad, FEATURES))) == 1
