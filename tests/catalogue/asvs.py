"""docs/asvs.md: how Kafang stands to each requirement of the OWASP ASVS, made from `asvs.toml`.

`python -m tests.catalogue.asvs` writes it.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "asvs.md"
# In the order in which the page counts them.
STATUSES = {
    "tests": "shown by tests",
    "held": "held, where the file named shows it; no test does",
    "absent": "can't apply: what it is about isn't there",
    "gap": "not fulfilled yet",
}
HEAD = """# OWASP ASVS 5.0, level 2

Made by `python -m tests.catalogue.asvs`; the build fails when it is out of date. Every requirement
of levels 1 and 2, in our own words;
[the standard's](https://owasp.org/www-project-application-security-verification-standard). What is
tried against Kafang, and what stands against it: [security.md](security.md).

"""


class Requirement(Struct, forbid_unknown_fields=True):
    """A requirement of the standard, and exactly one of how it stands.

    `held` is a file, a colon and why; `absent` names a feature.
    """

    level: Literal[1, 2]
    what: str
    tests: list[str] | None = None
    held: str | None = None
    absent: str | None = None
    gap: str | None = None

    def statuses(self) -> list[str]:
        """Which are given; a sound one has one."""
        return [name for name in STATUSES if getattr(self, name) is not None]


class Catalogue(Struct):
    """All requirements by id, titles of chapters, features that Kafang hasn't."""

    requirements: dict[str, Requirement]
    chapters: dict[str, str]
    features: dict[str, str]


def catalogue() -> Catalogue:
    """The catalogue, in the standard's order."""
    rows: dict[str, Any] = tomllib.loads(Path(__file__).with_name("asvs.toml").read_text("utf-8"))
    chapters, features = rows.pop("chapters"), rows.pop("features")
    found = {"requirements": rows, "chapters": chapters, "features": features}
    return msgspec.convert(found, Catalogue)


def faults(name: str, row: Requirement, features: dict[str, str]) -> Iterator[str]:
    """What is wrong with a requirement's entry."""
    if len(row.statuses()) != 1:
        yield f"{name}: exactly one of {', '.join(STATUSES)}"
    if not row.what.strip():
        yield f"{name}: says not what it is"
    if row.tests is not None and not row.tests:
        yield f"{name}: names no test"
    for file in row.tests or []:
        is_test = file.startswith("tests/") and Path(file).name.startswith("test_")
        if not is_test or not (ROOT / file).is_file():
            yield f"{name}: {file} is no file of tests"
    if row.held is not None:
        file, _, why = row.held.partition(": ")
        if not why.strip() or not (ROOT / file).is_file():
            yield f"{name}: held needs a file and why"
    if row.absent is not None and row.absent not in features:
        yield f"{name}: {row.absent} is no feature of the list"
    if row.gap is not None and not row.gap.strip():
        yield f"{name}: says not what is missing"


def page() -> str:
    """The document."""
    known = catalogue()
    return HEAD + _counts(known) + "".join(_chapter(known, name) for name in known.chapters)


def _counts(known: Catalogue) -> str:
    """How many there are of each status and level."""
    rows = list(known.requirements.values())
    told = "| | level 1 | level 2 | both |\n|---|---|---|---|\n"
    for status, text in STATUSES.items():
        levels = [row.level for row in rows if status in row.statuses()]
        told += f"| {text} | {levels.count(1)} | {levels.count(2)} | {len(levels)} |\n"
    levels = [row.level for row in rows]
    return told + f"| all | {levels.count(1)} | {levels.count(2)} | {len(levels)} |\n"


def _chapter(known: Catalogue, chapter: str) -> str:
    """A table of its requirements."""
    told = f"\n## {chapter} {known.chapters[chapter]}\n\n"
    told += "| | level | what | status | shown by, or why not |\n|---|---|---|---|---|\n"
    for name, row in known.requirements.items():
        if name.startswith(f"{chapter}."):
            [status] = row.statuses()
            cells = (name, str(row.level), row.what, status, _shown(known, row))
            told += f"| {' | '.join(cells)} |\n"
    return told


def _shown(known: Catalogue, row: Requirement) -> str:
    """The tests or the file, linked; else the reason."""
    if row.tests is not None:
        linked = [f"[{file.removeprefix('tests/')}](../{file})" for file in row.tests]
        return "<br>".join(linked)
    if row.held is not None:
        file, _, why = row.held.partition(": ")
        return f"[{file}](../{file}): {why}"
    return row.gap or known.features[row.absent or ""]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
