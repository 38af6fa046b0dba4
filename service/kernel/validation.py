"""Strict decoding of what callers send, with every problem at once.

The fast path is one typed decode. Only when it fails is the document walked along the annotations,
so that the caller gets each problem with its JSON path instead of the first one only. Strict: an
integer is never read from text or from a float, nothing is clamped or dropped.
"""

import re
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from functools import cache
from itertools import chain, islice
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from schemas.problems import Reason
from service.kernel import redaction
from service.kernel.problems import (
    INVALID_REQUEST,
    INVALID_VALUE,
    MALFORMED_JSON,
    MISSING_FIELD,
    NUL_CHARACTER,
    REPEATED_FIELD,
    UNKNOWN_FIELD,
    ProblemError,
    because,
)

MAX_REASONS = 50
# The walk ends here, so that one bad megabyte can't hold the loop; the decoder's reason remains.
MAX_NODES = 20_000
MAX_NAME = 64
MAX_MESSAGE = 200
NUL = b"\\u0000"

_LISTS = (list, tuple, set, frozenset)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,39})")
# What a decoder quotes of a value; the values that would do are named beside it.
_QUOTED = re.compile(r"^(Invalid (?:enum )?value) .*", re.DOTALL)
_BOOLS = {"true": True, "false": False}
# What makes a pattern's `$` mean the very end in Python (schemas/common.py); as decoders quote it.
ONLY_AT_THE_END = r"(?!\\n)"


def body(raw: bytes, wanted: Any) -> Any:
    """The body as the wanted type. Raises 400 with every problem."""
    try:
        value = _decoder(wanted).decode(raw)
    except msgspec.ValidationError as error:
        raise _refusal(raw, wanted, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from None
    # PostgreSQL's text can't hold a NUL, and an escape is its only way through a JSON decoder.
    if NUL in raw and (reasons := list(islice(_nul(_document(raw), "$"), MAX_REASONS))):
        raise ProblemError(INVALID_REQUEST, reasons=reasons)
    return value


def query(pairs: list[tuple[str, str]], wanted: Any) -> Any:
    """Query parameters as the wanted Struct. Raises 400 with every problem, repetitions too."""
    annotations = _annotations(wanted)
    values = {name: _native(text, annotations.get(name, str)) for name, text in pairs}
    repeated = [
        because(REPEATED_FIELD, path=_member("$query", name))
        for name, times in Counter(name for name, _ in pairs).items()
        if times > 1
    ]
    try:
        value = msgspec.convert(values, wanted)
    except msgspec.ValidationError as error:
        found = chain(repeated, _problems(values, wanted, "$query"))
        raise _invalid(found, error, "$query") from None
    if reasons := repeated + list(_nul(values, "$query")):
        raise ProblemError(INVALID_REQUEST, reasons=reasons[:MAX_REASONS])
    return value


@cache
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


@cache
def _annotations(cls: Any) -> dict[str, Any]:
    return {field.encode_name: field.type for field in structs.fields(cls)}


def _document(raw: bytes) -> Any:
    return msgspec.json.decode(raw)


def _refusal(raw: bytes, wanted: Any, error: msgspec.ValidationError) -> ProblemError:
    """Why the typed decode failed: a broken document, or every problem of a sound one."""
    try:
        return _invalid(_problems(_document(raw), wanted, "$"), error, "$")
    except msgspec.ValidationError:
        # An integer that no decoder can hold: the first error has its place.
        return _invalid(iter(()), error, "$")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        return _malformed(broken)


def _malformed(error: Exception) -> ProblemError:
    what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return ProblemError(MALFORMED_JSON, f"{MALFORMED_JSON.mend} Found: {what}.")


def _invalid(found: Iterator[Reason], error: msgspec.ValidationError, root: str) -> ProblemError:
    reasons = list(islice(found, MAX_REASONS)) or [_reason(error, root)]
    return ProblemError(INVALID_REQUEST, reasons=reasons)


def _problems(value: Any, wanted: Any, root: str) -> Iterator[Reason]:
    return chain(_walk(value, wanted, root, iter(range(MAX_NODES))), _nul(value, root))


def _walk(value: Any, wanted: Any, path: str, budget: Iterator[int]) -> Iterator[Reason]:
    """Every problem of a value against its annotation, outermost first."""
    if next(budget, None) is None:
        return
    inner = _container(value, wanted)
    base, limits = _bare(inner)
    if inner is None:
        yield from _leaf(value, wanted, path)
    elif _is_struct(base):
        yield from _walk_struct(value, base, path, budget)
    else:
        yield from _leaf(value, Annotated[(type(value), *limits)] if limits else type(value), path)
        yield from _walk_items(value, base, path, budget)


def _walk_struct(
    value: dict[str, Any], cls: Any, path: str, budget: Iterator[int]
) -> Iterator[Reason]:
    sound = True
    for reason in chain(_unknown(value, cls, path), _walk_fields(value, cls, path, budget)):
        sound = False
        yield reason
    if sound and hasattr(cls, "__post_init__"):  # Rules over several fields need each one sound.
        yield from _leaf(value, cls, path)


def _unknown(value: dict[str, Any], cls: Any, path: str) -> Iterator[Reason]:
    config = _config(cls)
    known = _annotations(cls)
    for name in value:
        if config.forbid_unknown_fields and name not in known and name != config.tag_field:
            place = _member(path, name)
            yield because(UNKNOWN_FIELD, path=place, allowed=sorted(known))


def _walk_fields(
    value: dict[str, Any], cls: Any, path: str, budget: Iterator[int]
) -> Iterator[Reason]:
    for field in structs.fields(cls):
        place = _member(path, field.encode_name)
        if field.encode_name in value:
            yield from _walk(value[field.encode_name], field.type, place, budget)
        elif field.required:
            yield because(MISSING_FIELD, path=place)


def _walk_items(value: Any, base: Any, path: str, budget: Iterator[int]) -> Iterator[Reason]:
    wanted = get_args(base)
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaf(name, wanted[0], _member(path, name))
            yield from _walk(item, wanted[1], _member(path, name), budget)
    elif get_origin(base) is not tuple or wanted[1:] == (...,):
        for position, item in enumerate(value):
            yield from _walk(item, wanted[0], f"{path}[{position}]", budget)
    else:
        yield from _leaf(value, base, path)


def _leaf(value: Any, wanted: Any, path: str) -> Iterator[Reason]:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        yield _reason(error, path, _allowed(wanted))


def _reason(error: msgspec.ValidationError, path: str, allowed: list[str] | None = None) -> Reason:
    """A decoder's complaint; what it says of a place inside the value goes into the path."""
    message, _, place = str(error).replace(ONLY_AT_THE_END, "").partition(" - at `$")
    path += redaction.masked(place.rstrip("`")[:MAX_MESSAGE])
    told = _QUOTED.sub(r"\1", message)[:MAX_MESSAGE]
    if not told.startswith("Expected"):  # those name types and limits, never what was sent
        told = redaction.masked(told)
    return because(INVALID_VALUE, f"{told}.", path=path, allowed=allowed)


def _allowed(wanted: Any) -> list[str] | None:
    """The values of an enumeration."""
    values: list[str] = []
    for base, _ in map(_bare, _members(wanted)):
        if get_origin(base) is Literal:
            values += map(str, get_args(base))
        elif isinstance(base, type) and issubclass(base, Enum):
            values += (str(member.value) for member in base)
    return values or None


def _container(value: Any, wanted: Any) -> Any:
    """The one part of an annotation that a list or object must be meant for; None for all else."""
    if isinstance(value, dict):
        fitting = [part for part in _members(wanted) if _takes_object(value, _bare(part)[0])]
    elif isinstance(value, list):
        fitting = [part for part in _members(wanted) if get_origin(_bare(part)[0]) in _LISTS]
    else:
        return None
    return fitting[0] if len(fitting) == 1 else None


def _takes_object(value: dict[str, Any], base: Any) -> bool:
    if not _is_struct(base):
        return get_origin(base) is dict
    config = _config(base)
    return config.tag_field is None or value.get(config.tag_field, config.tag) == config.tag


def _is_struct(base: Any) -> bool:
    cls = get_origin(base) or base
    return isinstance(cls, type) and issubclass(cls, Struct) and not _config(cls).array_like


def _config(cls: Any) -> structs.StructConfig:
    config: structs.StructConfig = (get_origin(cls) or cls).__struct_config__
    return config


def _members(wanted: Any) -> list[Any]:
    """The parts of a union, or the annotation itself."""
    base, _ = _bare(wanted)
    if get_origin(base) in (Union, UnionType):
        return [part for option in get_args(base) for part in _members(option)]
    return [wanted]


def _bare(wanted: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotation and its limits, apart."""
    if get_origin(wanted) is Annotated:
        return wanted.__origin__, wanted.__metadata__
    return wanted, ()


def _native(text: str, wanted: Any) -> Any:
    """What a parameter's text stands for; text of another form stays text, and is refused."""
    parts = [_bare(part)[0] for part in _members(wanted)]
    if int in parts and _INTEGER.fullmatch(text):
        return int(text)
    return _BOOLS.get(text, text) if bool in parts else text


def _member(path: str, name: str) -> str:
    name = redaction.masked(name[: 2 * MAX_NAME])
    if _PLAIN_NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return f"{path}.{name}"
    return f"{path}[{msgspec.json.encode(name[:MAX_NAME]).decode()}]"


def _nul(value: Any, path: str) -> Iterator[Reason]:
    for place in _nul_places(value):
        yield because(NUL_CHARACTER, path=path + place)


def _nul_places(value: Any) -> Iterator[str]:
    """Paths from the value to each NUL inside; built on the way back, as most values hold none."""
    if isinstance(value, str):
        if "\x00" in value:
            yield ""
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from (_member("", name) for _ in _nul_places(name))
            yield from (_member("", name) + place for place in _nul_places(item))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            if isinstance(item, str | dict | list):
                yield from (f"[{position}]{place}" for place in _nul_places(item))
