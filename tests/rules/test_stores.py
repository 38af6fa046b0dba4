"""The store list of a card."""

import pytest

from service.rules.stores import allowed

LISTED = frozenset({"sto_01", "sto_02"})


@pytest.mark.parametrize(
    ("store_id", "mode", "ids", "answer"),
    [
        ("sto_01", "all", LISTED, True),
        ("sto_09", "all", LISTED, True),
        ("sto_01", "include", LISTED, True),
        ("sto_09", "include", LISTED, False),
        ("sto_01", "exclude", LISTED, False),
        ("sto_09", "exclude", LISTED, True),
        ("sto_01", "all", frozenset(), True),
        ("sto_01", "include", frozenset(), False),
        ("sto_01", "exclude", frozenset(), True),
    ],
)
def test_CAP_D11_store_list(store_id: str, mode: str, ids: frozenset[str], answer: bool) -> None:
    assert allowed(store_id, mode, ids) is answer


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown store rule 'only'; one of all, include, exclude"):
        allowed("sto_01", "only", LISTED)
