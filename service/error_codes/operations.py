"""The list of error codes, from the codes the service defines and the routes that declare them.

English stands with the code, Chinese in `zh.toml`; a code without it is a mistake at start.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from schemas.error_codes import ErrorCode, ErrorCodeList, ReasonCode, Text
from service.kernel.problems import CODES, REASONS, Code
from service.kernel.routes import Route, errors_of


def listed(routes: Sequence[Route]) -> ErrorCodeList:
    """All codes, each with the operations that can answer it. Raises KeyError for one unknown."""
    zh = _chinese()
    unknown = zh["codes"].keys() - CODES.keys() | zh["reasons"].keys() - REASONS.keys()
    if unknown:
        raise KeyError(f"zh.toml explains what is not there: {sorted(unknown)}")
    return ErrorCodeList(
        data=[_code(CODES[name], zh["codes"][name], routes) for name in sorted(CODES)],
        reasons=[
            ReasonCode(name, Text(REASONS[name].mend, zh["reasons"][name]))
            for name in sorted(REASONS)
        ],
    )


def reasons(language: str) -> Mapping[str, str]:
    """What each reason means and how to mend it, by its code."""
    if language == "zh-CN":
        chinese: Mapping[str, str] = _chinese()["reasons"]
        return chinese
    return {name: reason.mend for name, reason in REASONS.items()}


@cache
def _chinese() -> dict[str, Any]:
    return tomllib.loads(files("service.error_codes").joinpath("zh.toml").read_text("utf-8"))


def _code(code: Code, zh: dict[str, str], routes: Sequence[Route]) -> ErrorCode:
    operations = [route.operation_id for route in routes if code in errors_of(route)]
    return ErrorCode(
        code=code.code,
        status=code.status,
        meaning=Text(code.title, zh["meaning"]),
        mend=Text(code.mend, zh["mend"]),
        retry=code.retry,
        operations=sorted(operations),
    )
