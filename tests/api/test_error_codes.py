"""What each error code means, for whoever meets it at two in the morning."""

import re
from typing import Any

import pytest

from service.error_codes import operations
from service.kernel import problems
from tests.conftest import ClientOf
from tests.contract.breaking import resolved
from tests.contract.test_openapi import DOCUMENT, OPERATIONS

CHINESE = re.compile("[\u4e00-\u9fff]")


async def listed(client_of: ClientOf) -> Any:
    """The list, as anybody may read it: without a key."""
    async with client_of() as client:
        answer = await client.get("/v1/error-codes")
    assert answer.status == 200
    return answer.json()


async def test_CAP_G2_every_code_is_explained_in_both_languages(client_of: ClientOf) -> None:
    found = await listed(client_of)
    assert [code["code"] for code in found["data"]] == sorted(problems.CODES)
    assert [reason["code"] for reason in found["reasons"]] == sorted(problems.REASONS)
    texts = [code[name] for code in found["data"] for name in ("meaning", "mend")]
    for text in texts + [reason["meaning"] for reason in found["reasons"]]:
        assert text["en"].isascii()
        assert CHINESE.search(text["zh"])


async def test_CAP_G2_a_code_names_the_operations_that_answer_it(client_of: ClientOf) -> None:
    """The same as the contract says, seen from the other side."""
    found = await listed(client_of)
    declared: dict[str, set[str]] = {code: set() for code in problems.CODES}
    for name, operation in OPERATIONS.items():
        for answer in operation["responses"].values():
            for code in resolved(answer, DOCUMENT).get("x-codes", ()):
                declared[code].add(name)
    assert {code["code"]: set(code["operations"]) for code in found["data"]} == declared


def test_a_code_without_chinese_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    added = problems.Code("new_code", 409, "New", "Nothing to mend.", "no")
    monkeypatch.setitem(problems.CODES, added.code, added)
    with pytest.raises(KeyError, match="new_code"):
        operations.listed([])


def test_chinese_for_what_is_not_there_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(problems.REASONS, "ladder")
    with pytest.raises(KeyError, match="ladder"):
        operations.listed([])
