"""What may leave in a log line, a span or a problem, and what is taken out.

Four rules, because no single one holds:

- by type: a field whose type is marked `SENSITIVE` (schemas/common.py) is never shown;
- by name: neither is a loose value that is called as such a field is;
- an error is told by its class, its place and what PostgreSQL says of it in fields of its own. Its
  text is left out: a message may quote the request ("Key (card_number)=(…) already exists");
- by form: in every text that remains, keys, card and phone numbers and passwords in URLs are
  masked, wherever a client has put them.

Whatever is none of the plain kinds is named by its class, never by its `repr`.
"""

import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from enum import Enum
from errno import errorcode
from functools import cache
from pathlib import PurePath
from typing import Any, get_args

import asyncpg
from msgspec import Meta, Struct, structs

REDACTED = "[redacted]"
TEXT_MAX = 300
# A name that holds one of these holds a secret, however it is spelt around it.
_SECRET_NAME = re.compile(
    r"authorization|cookie|password|secret|token|(^|_)pin($|_)|card_?number|phone|api_?key($|_?text)"
    r"|payment_?reference|one_?time|recovery|e_?mail|pepper|dsn|keks|key_store|full_?name|masked_name"
    r"|database_url|migration_url|private_key",
    re.IGNORECASE,
)
# Our keys and tokens; digits as card and phone numbers are written, alone or in groups; URLs' and
# connection strings' passwords.
_SECRET_TEXT = re.compile(
    r"kf[a-z]_\w+|(?i:bearer)\s+\S+"
    r"|(?<![0-9A-Za-z_])(?:[0-9]{8,}|[0-9]{3,4}(?:[ -][0-9]{4}){1,7})(?![0-9A-Za-z])"
    r"|(?<=://)\S*@|(?<=password=)\S+"
)
# A line break stays one: renderers escape it. All else could steer a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# Errors of the language whose text is made of names in the program, never of values.
_OF_THE_PROGRAM = (AttributeError, TypeError, NameError, ImportError, NotImplementedError)
# PostgreSQL quotes values in the first line of these: data exceptions, and what functions raise.
_QUOTING = ("22", "P0")
_FRAME = re.compile(r'\s*File "[^"]+", line [0-9]+, in \S+')
_ERROR_NAME = re.compile(r"[A-Za-z_][\w.]*(?=:|$)")


@cache
def sensitive_fields(cls: type[Struct]) -> frozenset[str]:
    """The fields of a Struct that its types mark as sensitive."""
    return frozenset(field.name for field in structs.fields(cls) if _is_marked(field.type))


def _is_marked(annotation: Any) -> bool:
    if isinstance(annotation, Meta):
        return bool((annotation.extra or {}).get("sensitive"))
    marks = getattr(annotation, "__metadata__", ())
    return any(map(_is_marked, (*marks, *get_args(annotation))))


def is_secret_name(name: str) -> bool:
    """Whether a value that is called so is never shown."""
    return _SECRET_NAME.search(name) is not None


def masked(value: str) -> str:
    """A text without what looks like a secret."""
    return _SECRET_TEXT.sub(REDACTED, value)


def text(value: str) -> str:
    """A text as it may be logged: masked, and without what steers a terminal."""
    return _CONTROL.sub("\ufffd", masked(value))


def clean(name: str, value: Any) -> Any:
    """A value as it may be logged under a name."""
    if is_secret_name(name):
        return REDACTED
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        return told(value)
    if isinstance(value, Struct):
        hidden = sensitive_fields(type(value))
        shown = structs.asdict(value).items()
        return {key: REDACTED if key in hidden else clean(key, item) for key, item in shown}
    if isinstance(value, Mapping):
        return {text(str(key)): clean(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean("", item) for item in value]
    if isinstance(value, date | time | timedelta | PurePath | Enum):
        return str(value)
    return f"<{type(value).__name__}>"


def told(error: BaseException) -> str:
    """What an error is, without anything that a request may have put into its text."""
    name = type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        return " ".join([name, *_database_facts(error)])
    if isinstance(error, OSError) and error.errno:
        return f"{name} {errorcode.get(error.errno, error.errno)}"
    ours = type(error).__module__.partition(".")[0] == "service"
    if ours or isinstance(error, _OF_THE_PROGRAM):
        return f"{name}: {text(str(error))}"
    return name


def _database_facts(error: asyncpg.PostgresError) -> Iterator[str]:
    state = error.sqlstate or ""
    yield state
    for part in ("table_name", "column_name", "constraint_name"):
        if found := getattr(error, part, None):
            yield f"{part.partition('_')[0]}={found}"
    if error.args and not state.startswith(_QUOTING):
        yield text(str(error.args[0]).partition("\n")[0])[:TEXT_MAX]


def stack(error: BaseException, seen: frozenset[int] = frozenset()) -> str:
    """An error with its place and with what it came of, in the order it happened."""
    seen |= {id(error)}
    parts = []
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and id(earlier) not in seen:
        parts += [stack(earlier, seen), "which led to:"]
    parts += [line.rstrip("\n") for line in traceback.format_tb(error.__traceback__)]
    parts.append(told(error))
    if isinstance(error, BaseExceptionGroup):
        parts += [stack(part, seen) for part in error.exceptions if id(part) not in seen]
    return "\n".join(parts)


def error_of(exc_info: Any) -> BaseException | None:
    """The error that a logging call was given, in any of the forms that it may have."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found: BaseException | None = exc_info[1]
        return found
    return sys.exc_info()[1] if exc_info else None


def foreign(message: str) -> str:
    """A finished text of a library: its first line; of a trace inside, the places and the class."""
    first, *rest = message.splitlines() or [""]
    places = [line for line in rest if _FRAME.fullmatch(line)]
    last = _ERROR_NAME.match(rest[-1]) if places else None
    return text("\n".join([first[:TEXT_MAX], *places, *([last[0]] if last else [])]))
