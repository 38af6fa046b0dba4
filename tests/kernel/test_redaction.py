"""What may not be shown is not, by type, name, form or because it is an error's text."""

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
import pytest
from msgspec import Meta, Struct

import service.app  # noqa: F401  # defines every Struct of the wire
from schemas.common import CardNumber, Secret
from service.kernel import logs, redaction, validation
from service.kernel.database import UnsafeDatabaseError
from service.kernel.problems import ProblemError
from service.settings import Settings, SettingsError, load
from tests.harness.server import ROOT

NUMBER = "8800123412341237"
CANARY = "canary-4f1d"


class Wanted(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """As a request of tomorrow might be."""

    card_number: CardNumber | None = None
    codes: dict[Annotated[Secret, Meta(max_length=9)], int] = {}
    tender: Literal["cash", "card"] = "cash"
    at: datetime | None = None
    kinds: Literal[1, 2] = 1


class Holder(Struct):
    """As a noun of tomorrow might be."""

    nickname: Secret
    number: CardNumber | None = None
    codes: list[Annotated[Secret, Meta(max_length=9)]] = []
    note: str = ""


pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture(name="lines")
def _lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """The lines logged since, decoded; a canary in one is a fault."""

    def read() -> list[dict[str, Any]]:
        text = capsys.readouterr().err
        assert "anary" not in text, text
        assert NUMBER not in text, text
        return [json.loads(line) for line in text.splitlines()]

    return read


def structs_of(cls: type[Struct] = Struct) -> Iterator[type[Struct]]:
    """Every Struct that requests and answers are made of."""
    for below in cls.__subclasses__():
        if below.__module__.startswith("schemas."):
            yield below
        yield from structs_of(below)


def unmarked(cls: type[Struct]) -> set[str]:
    """Fields whose name says that they hold a secret, and whose type does not."""
    names = {name for name in cls.__struct_fields__ if redaction.is_secret_name(name)}
    return names - redaction.sensitive_fields(cls)


def test_what_is_called_a_secret_is_of_a_secret_type() -> None:
    found: set[type[Struct]] = set(structs_of())
    assert len(found) > 30
    assert {cls.__name__: unmarked(cls) for cls in found | {Settings} if unmarked(cls)} == {}
    by_type = {name for cls in found for name in redaction.sensitive_fields(cls)}
    assert by_type >= {"card_number", "payment_reference", "quote_token"}
    assert [name for name in by_type if not redaction.is_secret_name(name)] == [], "loose values"


def test_an_unmarked_secret_is_reported() -> None:
    class Member(Struct):
        phone: str
        masked_phone_note: Secret

    assert unmarked(Member) == {"phone"}


def test_the_type_hides_a_value_whatever_it_is_called_and_looks_like(lines: Any) -> None:
    logs.configure("debug")
    holder = Holder(CANARY, NUMBER, [CANARY], "12 Main Street")
    logs.log.info("x", holder=holder, all=[{"one": holder}])
    (line,) = lines()
    hidden = dict.fromkeys(("nickname", "number", "codes"), redaction.REDACTED)
    assert line["holder"] == {**hidden, "note": "12 Main Street"}
    assert line["all"] == [{"one": line["holder"]}]


def test_what_is_not_plain_is_named_by_its_class(lines: Any) -> None:
    logs.configure("debug")

    class Odd:
        def __repr__(self) -> str:
            return CANARY

    logs.log.info("x", odd=Odd(), raw=CANARY.encode(), on=date(2026, 3, 1), at=Path("a/b"))
    logging.getLogger("odd").warning("%s of %d: %r", Odd(), 3, {"x": Odd()})
    ours, foreign = lines()
    assert (ours["odd"], ours["raw"], ours["on"], ours["at"]) == (
        "<Odd>", "<bytes>", "2026-03-01", "a/b",
    )  # fmt: skip
    assert foreign["event"] == "<Odd> of 3: {'x': '<Odd>'}"
    assert foreign["logger"] == "odd"


@pytest.mark.parametrize(
    "text",
    [
        NUMBER, "no:8800 1234 1234 1237", "+86 139-5512-7788", "13955127788", "(88001234)",
        "kfk_live_0abc", "kfm_test_0abc", "kfx_whatever", "Authorization: bearer abc.def",
        "postgresql://u:pa/s@s@host/db", "host=db password=hunter2 user=u",
    ],
)  # fmt: skip
def test_forms_of_secrets_are_masked(text: str) -> None:
    shown = redaction.text(f"a {text} b")
    assert redaction.REDACTED in shown
    for part in ("1234", "7788", "0abc", "whatever", "abc.def", "s@s", "pa/", "hunter2"):
        assert part not in shown
    assert shown.startswith("a ")
    assert shown.endswith(" b")


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T10:00:00Z", "mer_0k80m6evi64pjv08or0adqpig5", "127.0.0.1:8321",
        "took 1234567 ms", "kafang_login",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redaction.text(text) == text


def unique_violation() -> asyncpg.UniqueViolationError:
    error = asyncpg.UniqueViolationError('duplicate key value violates constraint "card_number"')
    error.detail = f"Key (merchant_id, card_number)=(mer_1, {NUMBER}) already exists. {CANARY}"
    error.table_name, error.constraint_name = "card", "card_number_unique"
    return error


def failing(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError(f"invalid literal for int(): {CANARY}"), "ValueError"),
        (KeyError(CANARY), "KeyError"),
        (msgspec.ValidationError(f"Invalid enum value {CANARY!r}"), "ValidationError"),
        (unique_violation(), "UniqueViolationError 23505 table=card constraint=card_number_unique"),
        (asyncpg.DataError(f"invalid input for query argument $3: {CANARY!r}"), "DataError 22000"),
        (asyncpg.RaiseError(f"bad number {CANARY}"), "RaiseError P0001"),
        (asyncpg.UndefinedTableError('relation "x" does not exist'), '42P01 relation "x" does not'),
        (asyncpg.InterfaceError(f"could not use {CANARY}"), "InterfaceError"),
        (ConnectionRefusedError(111, f"Connect call failed {CANARY}"), "RefusedError ECONN"),
        (OSError(f"Multiple exceptions: {CANARY}"), "OSError"),
        (AttributeError("'X' object has no attribute 'y'"), "'X' object has no attribute 'y'"),
        (UnsafeDatabaseError("fsync is off, must be on"), "fsync is off, must be on"),
    ],
)  # fmt: skip
def test_an_error_is_told_by_class_and_place(lines: Any, error: Exception, shown: str) -> None:
    logs.configure("debug")
    try:
        try:
            failing(error)
        except Exception as first:
            raise RuntimeError(CANARY * 2) from first
    except RuntimeError as last:
        logs.log.error("failed", exc_info=last, cause=error)
        logging.getLogger("asyncpg").exception("failed: %s", error)
        logging.getLogger("asyncio").error("never got\nfuture: %s" % repr(error), exc_info=last)  # noqa: UP031  # as it does
    for line in lines():
        assert shown in line["exception"]
        assert "in failing" in line["exception"]
        assert "which led to:" in line["exception"]
        assert line["exception"].endswith("RuntimeError")


def test_errors_of_a_group_are_told(lines: Any) -> None:
    logs.configure("debug")
    group = ExceptionGroup(CANARY, [ValueError(CANARY), unique_violation()])
    group.__cause__ = group
    logs.log.error("failed", exc_info=group)
    (line,) = lines()
    assert line["exception"].splitlines()[0] == "ExceptionGroup"
    assert "constraint=card_number_unique" in line["exception"]


def test_a_finished_trace_of_a_library_keeps_its_places(lines: Any) -> None:
    logs.configure("debug")
    trace = f'Broke\n  File "x.py", line 3, in go\n    f("{CANARY}")\nValueError: {CANARY} 100 %s'
    logging.getLogger("library").error(trace)
    (line,) = lines()
    assert line["event"] == 'Broke\n  File "x.py", line 3, in go\nValueError'


async def test_a_task_that_nobody_waits_for(lines: Any) -> None:
    logs.configure("debug")
    loop = asyncio.get_running_loop()
    context = {"message": "lost", "exception": KeyError(CANARY), "future": {"x": CANARY}}
    loop.default_exception_handler(context)
    (line,) = lines()
    assert (line["event"], line["exception"]) == ("lost", "KeyError")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_stays_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    logs.configure("info")
    injected = 'GET\r\n{"level":"error"}\x1b[2J\u2028\x85'
    logs.log.info("x", agent=injected)
    logging.getLogger("b").warning("agent %s", injected)
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "sent",
    [
        {"card_number": "88001234-1234.1237x"}, {"card_number": int(NUMBER)}, {"tender": NUMBER},
        {"tender": CANARY}, {"at": NUMBER}, {"at": CANARY}, {"kinds": int(NUMBER)},
        {"card_number": [NUMBER]}, {"card_number": {NUMBER: NUMBER}}, {NUMBER: 1},
        {"kfk_live_canary": 1}, {"codes": {NUMBER: "x"}}, {"codes": {NUMBER: 1}}, {NUMBER: "\0"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_problem_does_not_echo_a_secret(sent: dict[Any, Any]) -> None:
    with pytest.raises(ProblemError) as in_body:
        validation.body(msgspec.json.encode(sent), Wanted)
    problems = [in_body.value]
    try:  # a number that is none in JSON is one in a query
        validation.query([(str(name), str(value)) for name, value in sent.items()], Wanted)
    except ProblemError as in_query:
        problems.append(in_query)
    for problem in problems:
        told = problem.body("req_1").decode()
        assert problem.reasons
        assert "anary" not in told
        assert not re.search("8800.?1234", told), told


PROCESS = """
import sys, threading, warnings
from service.kernel import logs
if {on}:
    logs.configure("info")
    logs.own_process()
class Odd:
    def __del__(self):
        raise ValueError("{canary} 1")
Odd()
thread = threading.Thread(target=lambda: int("{canary} 2"))
thread.start()
thread.join()
warnings.warn("kfk_live_{canary}")
raise KeyError("{canary} 3")
"""


def test_what_nobody_caught_is_told_too() -> None:
    def said(on: bool) -> str:
        program = PROCESS.format(on=on, canary="canary-4f1d")
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr

    assert said(False).count("canary-4f1d") >= 4, "control"
    text = said(True)
    assert "canary-4f1d" not in text
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert [event.partition(":")[0] for event in events] == [
        "unraisable", "uncaught", "<string>", "uncaught",
    ]  # fmt: skip


def test_the_settings_never_tell_a_password() -> None:
    wrong = ["postgresql://u:canary/x@db/k", "canary", "postgresql://u:p@db:canary/k"]
    for url in wrong:
        with pytest.raises(SettingsError) as caught:
            load({"DATABASE_URL": url, "KAFANG_MIGRATION_URL": url})
        assert "canary" not in str(caught.value)
        assert "DATABASE_URL: not a URL" in str(caught.value)
        assert "KAFANG_MIGRATION_URL: not a URL" in str(caught.value)
    for url in (
        "postgresql://u:p%2F@db/k?sslmode=disable", "postgres://u@[::1]:5432,b:5433/k?sslmode=verify-full",
        "postgresql:///k?host=/run/pg", "postgresql://u:p@@%2Frun%2Fpg/k",
    ):  # fmt: skip
        assert load({"DATABASE_URL": url}).database_url == url
    shown = redaction.clean("settings", load({"KAFANG_SECRET_KEY": "a" * 64, "DATABASE_URL": url}))
    assert {name for name, value in shown.items() if value == redaction.REDACTED} == {
        "database_url", "migration_url", "secret_key", "keks", "key_store", "secrets_command",
    }  # fmt: skip
