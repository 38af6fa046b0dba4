"""The loader of named queries: what it reads, and what it refuses."""

from importlib.resources import files
from pathlib import Path

import pytest

from service.kernel.sql import SQL, QueryFileError, load


def test_queries_are_named_by_file_and_block(tmp_path: Path) -> None:
    (tmp_path / "cards.sql").write_text(
        "-- What a card is asked for.\n\n"
        "-- name: get_card\n-- One card.\nselect *\nfrom card -- all of it\nwhere id = $1;\n\n"
        "-- The next block's comment;\n--name: count_cards\nselect count(*) from card;;\n"
    )
    (tmp_path / "stores.sql").write_text("-- name:  get_card  \nselect 1")
    (tmp_path / "notes.txt").write_text("not SQL")
    assert load(tmp_path) == {
        "cards.get_card": "-- One card.\nselect *\nfrom card -- all of it\nwhere id = $1",
        "cards.count_cards": "select count(*) from card",
        "stores.get_card": "select 1",
    }


def test_a_body_reaches_the_server_as_written(tmp_path: Path) -> None:
    body = "select (array[1, 2])[1:2], $q$ :z; -- no comment $q$, ';', '-- name'\n  , e'\\n--'"
    (tmp_path / "odd.sql").write_text(f"-- name: odd\n{body};\n")
    assert load(tmp_path) == {"odd.odd": body}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "-- name: a\nselect 1;\n-- name: b\nselect 2;\n-- name: a\nselect 3;",
            "a is defined twice",
        ),
        ("-- name: a\n-- name: b\nselect 1;", "query a is empty"),
        ("-- name: a\n-- only a word about it\n;\n", "query a is empty"),
        ("-- name: b\nselect 1;\n-- name: a\n", "query a is empty"),
        ("-- name: Get-Card\nselect 1;", "'Get-Card' is no snake_case query name"),
        ("-- name:\nselect 1;", "'' is no snake_case query name"),
        ("-- name: a b\nselect 1;", "'a b' is no snake_case query name"),
        ("select 0;\n-- name: a\nselect 1;", "must begin with a line '-- name"),
        ("select 0;\n", "must begin with a line '-- name"),
        ("", "must begin with a line '-- name"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "cards.sql").write_text(text)
    with pytest.raises(QueryFileError, match=rf"cards\.sql: .*{message}"):
        load(tmp_path)


def test_our_own_queries_are_loaded() -> None:
    names = {file.name.removesuffix(".sql") for file in (files("sql") / "queries").iterdir()}
    assert {name.split(".")[0] for name in SQL} == names
    assert not [name for name, text in SQL.items() if text.endswith(";") or not text.strip()]
