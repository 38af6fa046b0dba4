"""Calendar periods, expiry and business dates, also where clocks are changed. THREAT-T28."""

import re
import zoneinfo
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st

from service.rules.periods import Period, add, business_date, expiry, last_valid_date, parse, zone
from tests.rules.properties import Property, each

ZONES = sorted(files("tzdata").joinpath("zones").read_text("ascii").split())


@pytest.mark.parametrize(
    ("text", "months", "days"),
    [
        ("P3Y", 36, 0),
        ("P6M", 6, 0),
        ("P30D", 0, 30),
        ("P2W", 0, 14),
        ("P1Y6M", 18, 0),
        ("P1Y2M3W4D", 14, 25),
        ("P0Y1M", 1, 0),
        ("P018M", 18, 0),
        ("P100Y", 1200, 0),
        ("P1200M", 1200, 0),
        ("P36525D", 0, 36_525),
        ("P50Y18262D", 600, 18_262),
    ],
)
def test_parse(text: str, months: int, days: int) -> None:
    assert parse(text) == Period(months, days)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "is no calendar period: P, then") for text in ("", "P", "3Y", "p3y", "P3", "PY")),
        *((text, "is no calendar period: P, then") for text in ("P6M1Y", "P1Y1Y", "P-1Y", "+P1Y")),
        *((text, "is no calendar period: P, then") for text in ("P1.5Y", "P1Y ", "P1Y\n", "P٣Y")),
        ("P1234567D", "each of at most 6 digits"),
        ("PT12H", "a period has no hours or minutes; give days, as P1D"),
        ("P1DT1S", "a period has no hours or minutes; give days, as P1D"),
        ("P0D", "has no length: a period is at least one day, as P1D"),
        ("P0Y0M0W0D", "has no length"),
        ("P101Y", "is too long: at most 100 years, as P100Y"),
        ("P1201M", "is too long"),
        ("P36526D", "is too long"),
        ("P100Y1D", "is too long"),
        ("P50Y18263D", "is too long"),
        ("P999999Y999999M999999W999999D", "is too long"),
    ],
)
def test_parse_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


@pytest.mark.parametrize(
    ("start", "period", "result", "last_valid"),
    [
        ("2026-03-01", "P1Y", "2027-03-01", "2027-02-28"),
        ("2026-03-01", "P1D", "2026-03-02", "2026-03-01"),
        ("2026-03-01", "P30D", "2026-03-31", "2026-03-30"),
        ("2026-12-15", "P1M", "2027-01-15", "2027-01-14"),
        ("2026-11-30", "P14M", "2028-01-30", "2028-01-29"),
        ("2027-01-28", "P1M", "2027-02-28", "2027-02-27"),
        # No 29th to 31st in that February: its last day is the answer to both.
        ("2027-01-29", "P1M", "2027-02-28", "2027-02-28"),
        ("2027-01-31", "P1M", "2027-02-28", "2027-02-28"),
        ("2027-02-01", "P1M", "2027-03-01", "2027-02-28"),
        ("2028-01-31", "P1M", "2028-02-29", "2028-02-29"),
        ("2028-02-29", "P1Y", "2029-02-28", "2029-02-28"),
        ("2028-02-29", "P4Y", "2032-02-29", "2032-02-28"),
        ("2027-01-31", "P1M10D", "2027-03-10", "2027-03-10"),
        ("2027-01-28", "P1M10D", "2027-03-10", "2027-03-09"),
        ("9899-12-31", "P100Y", "9999-12-31", "9999-12-30"),
    ],
)
def test_CAP_C6_add_and_last_valid_date(
    start: str, period: str, result: str, last_valid: str
) -> None:
    first = date.fromisoformat(start)
    assert add(first, parse(period)) == date.fromisoformat(result)
    assert last_valid_date(first, parse(period)) == date.fromisoformat(last_valid)


@pytest.mark.parametrize(
    ("start", "period", "why"),
    [
        (date(9999, 12, 1), "P1M", "1 months after 9999-12-01 is beyond the year 9999"),
        (date(9999, 12, 31), "P1D", "1 days after 9999-12-31 is beyond the year 9999"),
    ],
)
def test_beyond_the_calendar(start: date, period: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        add(start, parse(period))


EXPIRIES = [
    ("Asia/Shanghai", "2026-03-01T04:00", "P1Y", "2027-02-28", "2027-02-28T16:00"),
    # already the first of March in Shanghai
    ("Asia/Shanghai", "2026-02-28T16:00", "P1Y", "2027-02-28", "2027-02-28T16:00"),
    ("Asia/Shanghai", "2026-02-28T15:59", "P1Y", "2027-02-27", "2027-02-27T16:00"),
    ("UTC", "2026-03-01T23:59", "P1D", "2026-03-01", "2026-03-02T00:00"),
    ("America/New_York", "2026-03-07T12:00", "P2D", "2026-03-08", "2026-03-09T04:00"),
    # The clocks jump from 00:00 to 01:00: the day begins with the jump.
    ("America/Havana", "2026-03-07T12:00", "P1D", "2026-03-07", "2026-03-08T05:00"),
    # From 01:00 back to 00:00: the first midnight is the end.
    ("America/Havana", "2026-10-31T12:00", "P1D", "2026-10-31", "2026-11-01T04:00"),
    # From 00:00 back to 23:00 of the day before: only the second midnight stays.
    ("Asia/Beirut", "2026-10-24T12:00", "P1D", "2026-10-24", "2026-10-24T22:00"),
    # A whole date is skipped.
    ("Pacific/Apia", "2011-12-29T12:00", "P2D", "2011-12-30", "2011-12-30T10:00"),
]
# Where the plain local midnight is wrong.
AT_MIDNIGHT = [
    # From 00:01 back to 23:01: midnight comes twice and the day before goes on after the first.
    ("America/St_Johns", "2010-11-06T12:00", "P1D", "2010-11-06", "2010-11-07T03:30"),
    # From 23:30 to 00:30: midnight is skipped.
    ("America/Toronto", "1919-03-30T12:00", "P1D", "1919-03-30", "1919-03-31T04:30"),
]


@pytest.mark.parametrize(("place", "start", "period", "last", "end"), EXPIRIES + AT_MIDNIGHT)
def test_CAP_C7_validity_from_activation(
    place: str, start: str, period: str, last: str, end: str
) -> None:
    instant, day = expiry(utc(start), period, place)
    assert (instant, day) == (utc(end), date.fromisoformat(last))
    assert instant.tzinfo is UTC


@pytest.mark.parametrize(("place", "start", "period", "last", "end"), AT_MIDNIGHT)
def test_a_plain_local_midnight_would_be_wrong(
    place: str, start: str, period: str, last: str, end: str
) -> None:
    next_day = date.fromisoformat(last) + timedelta(1)
    assert datetime.combine(next_day, time(), zone(place)).astimezone(UTC) != utc(end)


@pytest.mark.parametrize(
    ("start", "period", "place", "why"),
    [
        (datetime(2026, 3, 1), "P1Y", "UTC", "2026-03-01 00:00:00 has no zone"),
        (datetime(2026, 3, 1, tzinfo=UTC), "1Y", "UTC", "'1Y' is no calendar period"),
        (datetime(2026, 3, 1, tzinfo=UTC), "P1Y", "Asia/Peking", "unknown time zone 'Asia/Peking'"),
        (datetime(9999, 12, 31, tzinfo=UTC), "P1D", "UTC", "beyond the year 9999"),
    ],
)
def test_expiry_refuses(start: datetime, period: str, place: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        expiry(start, period, place)


FOUR = time(4)


@pytest.mark.parametrize(
    ("place", "cutoff", "instant", "day"),
    [
        ("Asia/Shanghai", FOUR, "2026-03-01T19:59", "2026-03-01"),  # 03:59 on the second
        ("Asia/Shanghai", FOUR, "2026-03-01T20:00", "2026-03-02"),
        ("Asia/Shanghai", time(), "2026-03-01T15:59", "2026-03-01"),
        ("Asia/Shanghai", time(), "2026-03-01T16:00", "2026-03-02"),
        ("Asia/Shanghai", FOUR, "2025-12-31T19:59", "2025-12-31"),
        # spring: 02:00 to 03:00, so 04:00 comes after three hours
        ("America/New_York", FOUR, "2026-03-08T07:59", "2026-03-07"),
        ("America/New_York", FOUR, "2026-03-08T08:00", "2026-03-08"),
        # a cut-off that is skipped has passed with the jump
        ("America/New_York", time(2, 30), "2026-03-08T06:59", "2026-03-07"),
        ("America/New_York", time(2, 30), "2026-03-08T07:00", "2026-03-08"),
        # autumn: 02:00 back to 01:00, so 04:00 comes after five hours
        ("America/New_York", FOUR, "2026-11-01T08:59", "2026-10-31"),
        ("America/New_York", FOUR, "2026-11-01T09:00", "2026-11-01"),
        # a repeated cut-off counts the first time: 01:15, 01:45, and 01:15 again
        ("America/New_York", time(1, 30), "2026-11-01T05:15", "2026-10-31"),
        ("America/New_York", time(1, 30), "2026-11-01T05:45", "2026-11-01"),
        ("America/New_York", time(1, 30), "2026-11-01T06:15", "2026-11-01"),
        # in the repeated hour, but the cut-off is still to come
        ("America/New_York", FOUR, "2026-11-01T06:15", "2026-10-31"),
    ],
)
def test_business_date(place: str, cutoff: time, instant: str, day: str) -> None:
    assert business_date(utc(instant), place, cutoff) == date.fromisoformat(day)


def test_business_date_refuses() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        business_date(datetime(2026, 3, 1), "UTC", FOUR)
    with pytest.raises(ValueError, match="unknown time zone"):
        business_date(utc("2026-03-01T00:00"), "Mars/Olympus", FOUR)


@pytest.mark.parametrize("name", ["", "Asia", "asia/shanghai", "../zones", "/etc/passwd", "UTC\0"])
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match="give an IANA name, as Asia/Shanghai"):
        zone(name)


def test_every_zone_of_the_package_can_be_read() -> None:
    assert len(ZONES) > 500
    assert all(zone(name).key == name for name in ZONES)


def test_the_hosts_zones_are_not_asked(tmp_path: Path) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    (tmp_path / "Asia").mkdir()
    wrong = files("tzdata.zoneinfo").joinpath("Etc", "UTC").read_bytes()
    (tmp_path / "Asia" / "Shanghai").write_bytes(wrong)
    try:
        zoneinfo.reset_tzpath(to=[str(tmp_path)])
        assert noon.astimezone(ZoneInfo.no_cache("Asia/Shanghai")).hour == 12
        zone.cache_clear()
        assert noon.astimezone(zone("Asia/Shanghai")).hour == 20
    finally:
        zoneinfo.reset_tzpath()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def reads_what_is_written(
    parse: Callable[[str], Period], years: int, months: int, weeks: int, days: int
) -> None:
    parts = zip((years, months, weeks, days), "YMWD", strict=True)
    text = "P" + "".join(f"{number}{unit}" for number, unit in parts if number)
    assert parse(text) == (12 * years + months, 7 * weeks + days)


def months_keep_the_day_or_the_end(add: Callable[[date, Period], date], d: date, n: int) -> None:
    result = add(d, Period(n, 0))
    assert result.year * 12 + result.month == d.year * 12 + d.month + n
    at_the_end = (result + timedelta(1)).day == 1
    assert result.day == d.day or (result.day < d.day and at_the_end)


def starting_later_never_ends_earlier(
    last: Callable[[date, Period], date], d: date, period: Period
) -> None:
    assert last(d, period) <= last(d + timedelta(1), period)
    assert last(d, period) >= d


def ends_with_its_last_date(
    expiry: Callable[[datetime, str, str], tuple[datetime, date]],
    start: datetime,
    period: str,
    place: str,
) -> None:
    end, last = expiry(start, period, place)
    here = zone(place)
    assert last == last_valid_date(start.astimezone(here).date(), parse(period))
    assert (end - timedelta.resolution).astimezone(here).date() <= last
    assert end.astimezone(here).date() > last
    assert end > start


def never_goes_back(
    business_date: Callable[[datetime, str, time], date],
    change: tuple[str, datetime],
    step_min: int,
    cutoff: time,
) -> None:
    place, changed_at = change
    sales = [changed_at + timedelta(minutes=n * step_min) for n in range(-20, 21)]
    dates = [business_date(sale, place, cutoff) for sale in sales]
    assert dates == sorted(dates)


def is_the_local_date_or_the_one_before(
    business_date: Callable[[datetime, str, time], date], now: datetime, place: str, cutoff: time
) -> None:
    local = now.astimezone(zone(place))
    difference = local.date() - business_date(now, place, cutoff)
    assert difference in (timedelta(0), timedelta(1))
    # Clocks that are not just going back: the wall clock alone decides.
    assert local.fold or (difference == timedelta(0)) == (local.time() >= cutoff)


def months_of_thirty_days(d: date, period: Period) -> date:
    return d + timedelta(30 * period.months + period.days)


def day_moves_to_the_first(d: date, period: Period) -> date:
    """Where the day is missing, the month counts from its first."""
    end = last_valid_date(d, period)
    return end.replace(day=1) if add(d, period).day != d.day and not period.days else end


def weeks_forgotten(text: str) -> Period:
    return parse(re.sub("[0-9]+W", "", text))


def midnight_in_utc(start: datetime, period: str, place: str) -> tuple[datetime, date]:
    last = expiry(start, period, place)[1]
    return datetime.combine(last + timedelta(1), time(), UTC), last


def by_the_wall_clock(now: datetime, place: str, cutoff: time) -> date:
    local = now.astimezone(zone(place)).replace(tzinfo=None)
    return (local - timedelta(hours=cutoff.hour, minutes=cutoff.minute)).date()


def in_utc(now: datetime, place: str, cutoff: time) -> date:
    return business_date(now, "UTC", cutoff)


CHANGES = [
    ("America/New_York", utc("2026-03-08T07:00")),
    ("America/New_York", utc("2026-11-01T06:00")),
    ("Europe/Berlin", utc("2026-10-25T01:00")),
    ("Australia/Lord_Howe", utc("2026-04-04T15:00")),
    ("America/Havana", utc("2026-11-01T05:00")),
    ("Asia/Beirut", utc("2026-10-24T21:00")),
]
days = st.dates(date(1950, 1, 1), date(2150, 12, 31)) | st.builds(
    date, st.integers(2026, 2032), st.sampled_from([1, 3, 12]), st.integers(28, 31)
)
lengths = st.builds(
    Period, st.integers(0, 30) | st.integers(0, 1200), st.just(0) | st.integers(0, 400)
).filter(any)
some_periods = st.sampled_from(["P1D", "P30D", "P1M", "P6M", "P1Y", "P3Y", "P1Y6M10D"])
instants = st.datetimes(datetime(1910, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
cutoffs = st.builds(time, st.integers(0, 5) | st.integers(20, 23), st.sampled_from([0, 15, 30, 45]))
places = st.sampled_from(ZONES)
PROPERTIES = [
    Property(
        reads_what_is_written,
        parse.__wrapped__,
        weeks_forgotten,
        (st.integers(1, 9), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)),
    ),
    Property(
        months_keep_the_day_or_the_end, add, months_of_thirty_days, (days, st.integers(1, 1200))
    ),
    Property(
        starting_later_never_ends_earlier, last_valid_date, day_moves_to_the_first, (days, lengths)
    ),
    Property(ends_with_its_last_date, expiry, midnight_in_utc, (instants, some_periods, places)),
    Property(
        never_goes_back,
        business_date,
        by_the_wall_clock,
        (st.sampled_from(CHANGES), st.integers(5, 15), cutoffs),
    ),
    Property(
        is_the_local_date_or_the_one_before, business_date, in_utc, (instants, places, cutoffs)
    ),
]


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
