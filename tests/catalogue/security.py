"""docs/security.md: threat, control and tests, made from `threats.toml` and the tests' own words.

`python -m tests.catalogue.security` writes it. A test belongs to a threat that its file's docstring
or its own name names.
"""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"THREAT[-_]T(\d+)\b")
HEAD = """# Threats, controls, tests

Made by `python -m tests.catalogue.security`; the build fails when it is out of date. How to report
something: [SECURITY.md](../SECURITY.md). What each test does stands in its first lines. Each has a
negative control: a twin of the service or of the data in which the control is missing.

| | threat | control | tests |
|---|---|---|---|
"""


def threats() -> dict[str, dict[str, str]]:
    """The catalogue, by id."""
    text = Path(__file__).with_name("threats.toml").read_text("utf-8")
    return {name: dict(row) for name, row in tomllib.loads(text).items()}


def tests() -> dict[str, list[str]]:
    """The files of tests that name each threat."""
    found: dict[str, list[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in sorted(_named(file.read_text("utf-8"))):
            found.setdefault(name, []).append(file.relative_to(ROOT).as_posix())
    return found


def _named(text: str) -> set[str]:
    tree = ast.parse(text)
    said = [ast.get_docstring(tree) or ""]
    said += [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {f"T{number}" for words in said for number in NAMED.findall(words)}


def page() -> str:
    """The document."""
    shown, rows = tests(), []
    for name, row in threats().items():
        cells = (name, row["threat"], row.get("control", "—"), _tests(row, shown.get(name, [])))
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def _tests(row: dict[str, str], files: list[str]) -> str:
    linked = [f"[{file.removeprefix('tests/')}](../{file})" for file in files]
    return "<br>".join(linked) or row["absent"]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
