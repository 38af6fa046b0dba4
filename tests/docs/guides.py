"""The guides' commands, run as they are written, and the answers that stand below them.

`python -m tests.docs.guides` writes the answers anew: each guide against a fresh server, with ids,
numbers and times replaced by invented ones.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct

from schemas.common import EXAMPLE_NUMBER
from tests.contract.flow import ID
from tests.harness import server as servers
from tests.harness.server import ROOT, Server

FOLDER = ROOT / "service" / "docs" / "guides"
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
END = "\x1e"
TIMEOUT_S = 60.0
TODAY, LATER = "2026-03-01", "2027-02-28"
INVENTED = (
    (ID, r"\1_…"),
    (re.compile(r"\b(T2|order|user)-\d{19}\b"), r"\1-1772345700123456789"),
    (re.compile(r"\bkf([mst])_test_[0-9a-v]+"), r"kf\1_test_…"),
    (re.compile(r"\bkfh_[0-9a-v]{52}\b"), "kfh_…"),
    (re.compile(r"\b138\*{4}\d{4}\b"), "138****8000"),
    (re.compile(r"\b8800\d{12}\b"), EXAMPLE_NUMBER),
    (re.compile(r"\b8800 \*{4} \*{4} \d{4}\b"), "8800 **** **** 1237"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT[0-9:]+\+08:00"), f"{TODAY}T14:15:00+08:00"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT[0-9:.]+Z"), f"{TODAY}T06:15:00.604202Z"),
    (re.compile(r'"opening_at":"[^"]+"'), '"opening_at":"2026-02-28T06:15:00.604202Z"'),
)


class Step(Struct):
    """Commands, and the answer a reader is shown; empty when none is."""

    commands: str
    shown: str


def names() -> list[str]:
    """Every guide that has commands."""
    return sorted(file.stem for file in FOLDER.glob("*.md") if steps(file.read_text("utf-8")))


def steps(text: str) -> list[Step]:
    """The commands of a guide in order, each with the answer below it."""
    found: list[Step] = []
    for kind, block in BLOCK.findall(text):
        if kind == "sh":
            found.append(Step(block, ""))
        else:
            found[-1].shown = block
    return found


def run(text: str, server: Server) -> list[str]:
    """What the commands of a guide print, step by step, in one shell that ends at a failure.

    It runs where `make run` was started: in a folder with the data folder in it.
    """
    script = "".join(f"{step.commands}printf '{END}'\n" for step in steps(text))
    with TemporaryDirectory() as folder:
        (Path(folder) / ".kafang").symlink_to(server.data_dir)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "KAFANG": server.base_url},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr}\n{done.stdout}")
    return done.stdout.split(END)[:-1]


def invented(printed: str) -> str:
    """An answer as a guide shows it."""
    for pattern, replacement in INVENTED:
        printed = pattern.sub(replacement, printed)
    soon = str(date.today() + timedelta(30))
    dates = re.compile(r'"(20\d\d-\d\d-\d\d)"')
    printed = dates.sub(lambda day: f'"{LATER if day[1] > soon else TODAY}"', printed)
    return "\n".join(_lines(json.loads(printed))) + "\n"


def _lines(value: Any) -> Iterator[str]:
    """JSON with a line for each field of the outermost object, and for each item of a list."""
    yield "{"
    fields = list(value.items())
    for position, (name, field) in enumerate(fields):
        comma = "," if position < len(fields) - 1 else ""
        if isinstance(field, list) and field and isinstance(field[0], dict):
            items = ",\n    ".join(json.dumps(item, ensure_ascii=False) for item in field)
            yield f'  "{name}": [\n    {items}\n  ]{comma}'
        else:
            yield f'  "{name}": {json.dumps(field, ensure_ascii=False)}{comma}'
    yield "}"


def written(text: str, printed: list[str]) -> str:
    """The guide with these answers: below every step that printed one."""
    texts = iter(printed)

    def block(found: re.Match[str]) -> str:
        if found[1] == "json":
            return ""
        answer = next(texts).strip()
        return found[0] + (f"\n```json\n{invented(answer)}```\n" if answer else "")

    without = re.sub(r"\n```json\n.*?^```\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return BLOCK.sub(block, without)


def main() -> None:
    """Write the answers of all guides anew."""
    for name in names():
        file = FOLDER / f"{name}.md"
        text = file.read_text("utf-8")
        with servers.running() as server:
            file.write_text(written(text, run(text, server)), "utf-8")


if __name__ == "__main__":
    main()
