"""What is known of a person: names in one form, what a screen shows, how long it is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.personal.rules import Kept, Ties, kept
from service.rules.persons import masked_name, person_name

ZONE = "Asia/Shanghai"
USED = datetime(2026, 3, 1, 7, tzinfo=UTC)  # 15:00 there
OVER = datetime(2031, 2, 28, 16, tzinfo=UTC)  # 1 March 2031 there


@pytest.mark.parametrize(
    ("text", "name", "masked"),
    [
        ("张伟", "张伟", "张*"),
        (" Zoe\u0308 Müller ", "Zoë Müller", "Z*"),
        ("欧", "欧", "欧*"),
        ("𠮷野", "𠮷野", "𠮷*"),
    ],
)
def test_a_name_has_one_form_and_shows_its_first_character(
    text: str, name: str, masked: str
) -> None:
    assert person_name(text) == name
    assert masked_name(name) == masked


@pytest.mark.parametrize("text", ["", "  ", "张\n伟", "a\x1b[2J", "a\u202eb", "\ud800"])
def test_what_no_name_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        person_name(text)


@given(st.text(min_size=2, max_size=64))
def test_a_mask_tells_neither_length_nor_more_than_one_character(text: str) -> None:
    try:
        name = person_name(text)
    except ValueError:
        return
    assert person_name(name) == name
    assert masked_name(name) == name[0] + "*"


def ties(**changes: Any) -> Ties:
    """Somebody whom nothing keeps, with changes."""
    facts: dict[str, Any] = {
        "cards_with_value": [], "has_named_card": False, "registered_at": None, "is_held": False
    }  # fmt: skip
    return Ties(**{**facts, **changes})


@pytest.mark.parametrize(
    ("now", "of", "expected"),
    [
        (USED, ties(), Kept([], None)),
        # CN-M-09: five years from the last use of a card in a name, in the merchant's days.
        (USED, ties(registered_at=USED), Kept(["registration"], OVER)),
        (OVER - timedelta(microseconds=1), ties(registered_at=USED), Kept(["registration"], OVER)),
        (OVER, ties(registered_at=USED), Kept([], None)),
        # A card in their name that is still theirs: somebody may use it tomorrow.
        (OVER, ties(has_named_card=True), Kept(["registration"], None)),
        (OVER, ties(has_named_card=True, registered_at=USED), Kept(["registration"], None)),
        # CN-P-05: proceedings have no end that is known.
        (OVER, ties(registered_at=USED, is_held=True), Kept(["legal_hold"], None)),
        (
            USED,
            ties(registered_at=USED, is_held=True),
            Kept(["registration", "legal_hold"], None),
        ),
    ],
)
def test_CN_P_05_what_the_law_wants_kept_is_kept_and_no_longer(
    now: datetime, of: Ties, expected: Kept
) -> None:
    assert kept(now, ZONE, of) == expected
