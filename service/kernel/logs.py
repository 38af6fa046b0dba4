"""Logs: one JSON object a line on stderr, key=value on a terminal; secrets never.

Finished requests are logged when they failed on our side or were slow, of the slow ones a few each
second; each one only on demand, as a line costs more than the request's routing.
"""

import logging
import re
import sys
from collections.abc import Mapping
from time import monotonic
from typing import Any

import structlog
from msgspec.json import encode
from structlog.types import EventDict, Processor, WrappedLogger

from service.kernel.auth import Credential

SLOW_S = 1.0
# When everything is slow, each line about it makes it slower.
SLOW_LINES_PER_S = 10
REDACTED = "[redacted]"
# A name that holds one of these holds a secret, however it is spelt around it.
_SECRET_NAME = re.compile(
    r"authorization|cookie|password|secret|token|(^|_)pin($|_)|card_?number|api_?key($|_?text)"
    r"|pepper|dsn|database_url|private_key",
    re.IGNORECASE,
)
# In text: our keys and tokens, card numbers and phones (eight digits and more on their own),
# passwords inside URLs.
_SECRET_TEXT = re.compile(
    r"kf[km]_(?:test|live)_\w+|(?<![0-9A-Za-z_])[0-9]{8,}(?![0-9A-Za-z])|(?<=://)[^/\s@]+(?=@)"
)


class Ration:
    """So many a second, and a count of those that went without."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._second = 0
        self._used = 0
        self._left_out = 0

    def allows(self) -> bool:
        """Whether there is one left in this second."""
        second = int(monotonic())
        if second != self._second:
            self._second, self._used = second, 0
        self._used += 1
        allowed = self._used <= self._per_s
        self._left_out += not allowed
        return allowed

    def left_out(self) -> int:
        """How many were left out since this was last asked."""
        count, self._left_out = self._left_out, 0
        return count


_access = False
_slow = Ration(SLOW_LINES_PER_S)
log: structlog.stdlib.BoundLogger = structlog.get_logger("kafang")


def configure(level: str, access: bool = False) -> None:
    """Set up logging of this process, the libraries' too; `access` logs every request."""
    global _access
    _access = access
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.processors.format_exc_info, redact, _renderer()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[clean, *last])
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def log_request(
    method: str,
    route: str,
    status: int,
    seconds: float,
    request_id: str,
    credential: Credential | None,
) -> None:
    """One line for a finished request, if it is wanted."""
    left_out = 0
    if not _access and status < 500:
        if seconds < SLOW_S or not _slow.allows():
            return
        left_out = _slow.left_out()
    log.log(
        logging.ERROR if status >= 500 else logging.INFO,
        "request",
        method=method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 2),
        request_id=request_id,
        merchant_id=credential.merchant_id if credential else None,
        api_key_id=credential.api_key_id if credential else None,
        **({"member_id": credential.member_id} if credential and credential.member_id else {}),
        **({"left_out": left_out} if left_out else {}),
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop secrets by their name at any depth, and by their form inside any text."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _SECRET_TEXT.sub(REDACTED, repr(value))


def _renderer() -> Processor:
    if sys.stderr.isatty():
        return structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], bool_as_flag=False
        )
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(event: EventDict, **_options: Any) -> str:
    return encode(event).decode()
