"""Calendar periods, expiry and business dates (CAP-C6, CAP-C7; design section 3).

Arithmetic is on local calendar dates; instants are UTC. Zones come from the tzdata package, which
is pinned, never from the host (decisions, "Money and law").
"""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import ZoneInfo

_SHAPE = re.compile(
    r"P(?:([0-9]{1,6})Y)?(?:([0-9]{1,6})M)?(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?", re.ASCII
)
_CENTURY_MONTHS = 1200
_CENTURY_DAYS = 36_525
_DAY = timedelta(days=1)
MIDNIGHT = time(0)


class Period(NamedTuple):
    """A length of calendar time: whole months first, then days."""

    months: int
    days: int


@lru_cache(maxsize=1024)
def parse(period: str) -> Period:
    """Read an ISO 8601 calendar period: years, months, weeks, days, as P3Y, P1Y6M, P2W or P30D.

    Raises ValueError, with what is wrong, for any other text, for a time part, for nothing above 0
    and for more than 100 years.
    """
    if "T" in period:
        raise ValueError(f"{period!r}: a period has no hours or minutes; give days, as P1D")
    match = _SHAPE.fullmatch(period)
    if match is None or period == "P":
        raise ValueError(
            f"{period!r} is no calendar period: P, then whole years Y, months M, weeks W and days D"
            " in this order, each of at most 6 digits, as P3Y, P1Y6M or P30D"
        )
    years, months, weeks, days = (int(digits or 0) for digits in match.groups())
    parsed = Period(12 * years + months, 7 * weeks + days)
    if not any(parsed):
        raise ValueError(f"{period!r} has no length: a period is at least one day, as P1D")
    share_of_century = parsed.months * _CENTURY_DAYS + parsed.days * _CENTURY_MONTHS
    if share_of_century > _CENTURY_MONTHS * _CENTURY_DAYS:
        raise ValueError(f"{period!r} is too long: at most 100 years, as P100Y")
    return parsed


def add(local_date: date, period: Period) -> date:
    """The date a period later; months first and clamped to the month's end: 31 Jan + P1M = 28 Feb.

    Raises ValueError beyond the year 9999.
    """
    return _plus_days(_plus_months(local_date, period.months), period.days)


def _plus_months(day: date, months: int) -> date:
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > date.max.year:
        raise ValueError(f"{months} months after {day} is beyond the year {date.max.year}")
    last = calendar.monthrange(year, month0 + 1)[1]
    return date(year, month0 + 1, min(day.day, last))


def _plus_days(day: date, days: int) -> date:
    if days > (date.max - day).days:
        raise ValueError(f"{days} days after {day} is beyond the year {date.max.year}")
    return day + timedelta(days)


def last_valid_date(first: date, period: Period) -> date:
    """The last day of a validity whose first day is `first`: the first day counts.

    That is the day before the same day: from 2026-03-01, P1Y ends with 2027-02-28. Where the month
    has no such day, its last day is still valid: from 31 January, P1M ends with 28 or 29 February.
    Raises ValueError beyond the year 9999.
    """
    month_step = _plus_months(first, period.months)
    clamped = month_step.day != first.day
    return _plus_days(month_step, period.days if clamped else period.days - 1)


def expiry(start: datetime, period: str, time_zone: str) -> tuple[datetime, date]:
    """When a validity that starts at the instant `start` ends: (instant in UTC, last valid date).

    The instant is the first one at which the value is no longer valid: the end of the last valid
    local date (see `last_valid_date`), also where the clock is changed at midnight.
    Raises ValueError for a start without zone, an unknown zone, and as `parse` and `add`.
    """
    place = zone(time_zone)
    last = last_valid_date(_local(start, place).date(), parse(period))
    return _end_of(last, place), last


def _end_of(day: date, place: ZoneInfo) -> datetime:
    """The instant (UTC) after which it is never again `day` or earlier on the clocks of `place`."""
    midnight = datetime.combine(_plus_days(day, 1), time(), place)
    first = midnight.astimezone(UTC)
    second = midnight.replace(fold=1).astimezone(UTC)
    if first == second:
        return first
    if first < second:
        # Midnight comes twice; the second is the end only if the clocks went back into `day`.
        again = (second - timedelta.resolution).astimezone(place).date() <= day
        return second if again else first
    # Midnight is skipped: somewhere in between the clocks jump out of `day`.
    while first - second > timedelta.resolution:
        middle = second + (first - second) // 2
        if middle.astimezone(place).date() <= day:
            second = middle
        else:
            first = middle
    return first


def business_date(instant: datetime, time_zone: str, cutoff: time) -> date:
    """The store's date of a sale: before the local time `cutoff` it still is the previous date.

    `cutoff` is a time on the store's clock, without zone: with 04:00 a sale at 03:59 belongs to the
    day before. The date never goes back: in an hour that is repeated the cut-off counts when it
    comes for the first time.
    Raises ValueError for an instant without zone and for an unknown zone.
    """
    local = _local(instant, zone(time_zone))
    today = local.date()
    if local.time() >= cutoff:
        return today
    if local.fold and datetime.combine(today, cutoff, local.tzinfo).astimezone(UTC) <= instant:
        return today
    return today - _DAY


def _local(instant: datetime, place: ZoneInfo) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no zone: an instant is given in UTC")
    return instant.astimezone(place)


@cache
def zone(name: str) -> ZoneInfo:
    """The rules of a zone by its IANA name, as Asia/Shanghai; read once per process.

    Raises ValueError for a name the tzdata package doesn't hold.
    """
    if name not in _zone_names():
        raise ValueError(f"unknown time zone {name!r}; give an IANA name, as Asia/Shanghai")
    with files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())
