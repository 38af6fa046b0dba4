"""Logs: one JSON object a line on stderr, key=value on a terminal; secrets never.

Everything this process has to say goes through one renderer: our lines, the libraries', warnings
and what nobody caught. What it leaves out: `kernel/redaction.py`.

Finished requests are logged when they failed on our side or were slow, of the slow ones a few each
second; each one only on demand, as a line costs more than the request's routing.
"""

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import structlog
from msgspec.json import encode
from structlog.types import EventDict, Processor, WrappedLogger

from service.kernel import redaction
from service.kernel.auth import Credential
from service.kernel.problems import UNREADABLE, Code

SLOW_S = 1.0
# When everything is slow, each line about it makes it slower.
SLOW_LINES_PER_S = 10
# Who tries to get in without being let in could fill a disk. What can't be read has lines of its
# own: a client at fault hides nobody else.
REFUSED_LINES_PER_S, UNREADABLE_LINES_PER_S = 20, 5


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
_refused, _unreadable = Ration(REFUSED_LINES_PER_S), Ration(UNREADABLE_LINES_PER_S)
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
    last: list[Processor] = [_tell_errors, redact, _renderer()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_clean_foreign)
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    named = [structlog.stdlib.add_logger_name, *shared]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=named, processors=[clean, *last])
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def own_process() -> None:
    """Log what Python itself would print as it is: warnings, and errors that nobody caught."""
    logging.captureWarnings(True)
    sys.excepthook = lambda _kind, error, _trace: log.critical("uncaught", exc_info=error)
    threading.excepthook = lambda told: log.critical("uncaught", exc_info=told.exc_value)
    sys.unraisablehook = lambda told: log.error("unraisable", exc_info=told.exc_value)


def log_request(
    method: str,
    route: str,
    status: int,
    seconds: float,
    request_id: str,
    credential: Credential | None,
    trace_id: str | None = None,
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
        **{"merchant_id": None, "api_key_id": None, **_of(credential)},
        **({"trace_id": trace_id} if trace_id else {}),
        **({"left_out": left_out} if left_out else {}),
    )


def log_refused(
    code: Code,
    reasons: Sequence[str],
    route: str,
    request_id: str,
    address: str | None,
    credential: Credential | None,
    **known: str | None,
) -> None:
    """One line for somebody who wasn't let do something: who, from where, and why not."""
    ration = _unreadable if code.status in UNREADABLE else _refused
    if not ration.allows():
        return
    left_out = ration.left_out()
    log.warning(
        "refused",
        code=code.code,
        reasons=list(reasons),
        route=route,
        request_id=request_id,
        address=address,
        **_of(credential),
        **{name: value for name, value in known.items() if value},
        **({"left_out": left_out} if left_out else {}),
    )


def _of(credential: Credential | None) -> dict[str, str]:
    """Who it was, by their ids."""
    names = ("merchant_id", "api_key_id", "user_id", "member_id")
    told = {name: getattr(credential, name, None) for name in names}
    return {name: value for name, value in told.items() if value}


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out what may not be shown, at any depth."""
    return {name: redaction.clean(name, value) for name, value in event.items()}


def _tell_errors(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """An error becomes its class and its places; a library's stack is its text's."""
    error = redaction.error_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = redaction.stack(error)
    event.pop("stack_info", None)
    return event


def _clean_foreign(record: logging.LogRecord) -> bool:
    """A library's line: its own words stay, what it filled in is cleaned first."""
    if isinstance(record.args, Mapping):
        record.args = {name: _filled_in(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(map(_filled_in, record.args))
    else:
        record.msg = redaction.foreign(str(record.msg))
    return True


def _filled_in(value: object) -> Any:
    cleaned = redaction.clean("", value)
    return redaction.foreign(cleaned) if isinstance(cleaned, str) else cleaned


def _renderer() -> Processor:
    if sys.stderr.isatty():
        return structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], bool_as_flag=False
        )
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(event: EventDict, **_options: Any) -> str:
    return encode(event).decode()
