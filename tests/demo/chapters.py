"""The chapters of the day: when, how busy, what people come for and what goes wrong."""

from msgspec import Struct

from tests.demo.messages import Mishap

QUIET: dict[Mishap, int] = {"none": 94, "cut": 2, "late": 2, "double_tap": 2}
ROUGH: dict[Mishap, int] = {"none": 70, "cut": 10, "late": 10, "double_tap": 10}
AT_PHONES = {
    "join": 14, "top_up": 14, "order": 18, "look": 24, "statement": 14, "freeze": 4, "unfreeze": 6,
    "payment_failed": 6,
}  # fmt: skip


class Chapter(Struct, frozen=True):
    """`opens` and `closes` in minutes since the day's midnight; `share` of the demo's time.

    `pace`: visits a second at each till (the mini-program has as many). `tills` and `phones`: how
    often each kind of visit comes.
    """

    title: str
    tells: str
    opens: int
    closes: int
    share: float
    pace: float
    tills: dict[str, int]
    phones: dict[str, int]
    mishaps: dict[Mishap, int]


# A year before the day: its bonuses end with the midnight the day begins with.
BEFORE = 0
CHAPTERS = [
    Chapter(
        "A year earlier", "an anniversary sale: cards with a bonus that is good for one year",
        0, 0, 0.06, 20.0, {}, {"join": 1}, QUIET,
    ),
    Chapter(
        "Opening", "new cards by phone, the first customers at five tills",
        8 * 60 + 30, 10 * 60, 0.12, 8.0,
        {"sell": 52, "top_up": 32, "look_up": 10, "mistype": 2, "give_up": 2}, AT_PHONES, QUIET,
    ),
    Chapter(
        "Morning", "a usual morning",
        10 * 60, 12 * 60, 0.16, 9.0,
        {"sell": 70, "top_up": 12, "give_back": 3, "void": 1, "look_up": 8, "mistype": 3,
         "overspend": 2, "give_up": 2}, AT_PHONES, QUIET,
    ),
    Chapter(
        "Lunch rush", "queues, and a network that drops lines and doubles requests",
        12 * 60, 14 * 60, 0.20, 15.0,
        {"sell": 80, "top_up": 6, "give_back": 2, "look_up": 2, "mistype": 3, "overspend": 2,
         "give_up": 6}, AT_PHONES, ROUGH,
    ),
    Chapter(
        "A till dies", "killed between request and answer; the new one asks what is true",
        14 * 60, 15 * 60, 0.12, 8.0,
        {"sell": 74, "top_up": 10, "give_back": 4, "look_up": 6, "mistype": 2, "overspend": 1,
         "give_up": 3}, AT_PHONES, QUIET,
    ),
    Chapter(
        "Afternoon", "what was sold comes back: whole, by line, in part",
        15 * 60, 18 * 60, 0.16, 9.0,
        {"sell": 34, "top_up": 8, "give_back": 40, "void": 6, "look_up": 6, "mistype": 2,
         "overspend": 2, "give_up": 2}, AT_PHONES, QUIET,
    ),
    Chapter(
        "Evening", "the last customers; one store stays open until two",
        18 * 60, 26 * 60, 0.18, 9.0,
        {"sell": 70, "top_up": 10, "give_back": 6, "void": 2, "look_up": 6, "mistype": 2,
         "overspend": 2, "give_up": 2}, AT_PHONES, QUIET,
    ),
]  # fmt: skip
DEATH = next(place for place, one in enumerate(CHAPTERS) if one.title == "A till dies")
DAY_OPENS, DAY_CLOSES = CHAPTERS[1].opens, CHAPTERS[-1].closes


def clock(minute: int) -> str:
    """08:30, also for what is after midnight."""
    return f"{minute // 60 % 24:02}:{minute % 60:02}"
