"""House rules as tests: each rule is a pure function from a path and its text to complaints.

Every rule has a negative control: a bad sample it must report. On the tree all must be silent.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

Rule = Callable[[str, str], list[str]]

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
TOP_LEVEL = frozenset(
    {"service", "schemas", "sql", "tests", "openapi", "docs"}
    | {"pyproject.toml", "requirements.in", "requirements.lock"}
    | {"requirements.runtime.lock", "requirements.otel.lock"}
    | {"Makefile", "Dockerfile"}
    | {"README.md", "SECURITY.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"}
)
# What every noun may import whole; of another noun only `operations`.
FOUNDATION = frozenset({"kernel", "rules", "ledger", "settings"})
# (path, statement with white space collapsed) -> why it can't live in sql/. Stale rows are faults.
ALLOWED_SQL: dict[tuple[str, str], str] = {}

SQL_STATEMENT = re.compile(
    r"""
    (?:^|[;(\n])\s*select\s+(?:[*\d$'{]|distinct\b|[\w."]+\s*\(|[\s\S]*?\bfrom\b)
    | (?:^|[;(\n])\s*with\s+(?:recursive\s+)?\w+\s*(?:\([^)]*\)\s*)?
      as\s+(?:(?:not\s+)?materialized\s+)?\(
    | \binsert\s+into\s+[\w"{]
    | \bupdate\s+(?:only\s+)?[\w."{}]+\s+(?:(?:as\s+)?\w+\s+)?set\s+[\w"({]
    | \bdelete\s+from\s+[\w"{]
    | \bmerge\s+into\s+[\w"{]
    | (?:^|[;\n])\s*(?:create|alter|drop)\s+
      (?:or\s+replace\s+)?(?:(?:unlogged|temp|temporary|unique)\s+)*
      (?:table|index|role|user|database|schema|function|view|sequence|type|domain|policy)\b
    | (?:^|[;\n])\s*(?:truncate\s+(?:table\s+)?["\w{]|lock\s+table\b|set\s+(?:local|session|role)\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
MACHINE_PATH = re.compile(
    r"(?<![\w.>)}\]-])/(?:home|root|Users|work|workspace|mnt)/[\w.-]|\b[A-Z]:\\Users\\"
)
PACKAGE_SOURCE = re.compile(r"https?://|file:|git\+|--(?:extra-)?index-url|--find-links")
REQUIREMENT = re.compile(
    r"[a-z0-9][a-z0-9._-]*(?:\[[a-z0-9,._-]+\])?==[\w.!+-]+(?: ; .+?)?"
    r"(?: --hash=sha256:[0-9a-f]{64})+"
)


def file_length(path: str, text: str) -> list[str]:
    """A file fits into one reader's head."""
    lines = text.count("\n")
    return [f"{path}: {lines} lines, at most {FILE_LINES_MAX}"] if lines > FILE_LINES_MAX else []


def function_length(path: str, text: str) -> list[str]:
    """A function fits on one screen."""
    return [
        f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def no_sql(path: str, text: str) -> list[str]:
    """SQL text lives in sql/, where tools see it and its plan is tested."""
    return [
        f"{path}:{line}: SQL in a string, move it to sql/: {statement[:60]}"
        for line, statement in sql_strings(text)
        if (path, statement) not in ALLOWED_SQL
    ]


def sql_strings(text: str) -> Iterator[tuple[int, str]]:
    """Line and collapsed text of each string literal, docstrings apart, that holds a statement."""
    tree = ast.parse(text)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            skipped.update(map(id, node.values))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        literal = literal_text(node)
        if SQL_STATEMENT.search(literal):
            yield getattr(node, "lineno", 0), " ".join(literal.split())


def literal_text(node: ast.AST) -> str:
    """The text of a string or bytes literal; `{}` stands for what an f-string fills in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal_text(part) or "{}" for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
        return node.value.decode("latin-1")
    return ""


def no_sleep(path: str, text: str) -> list[str]:
    """`time.sleep` in a server of one loop stops every request."""
    tree = ast.parse(text)
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "time"
    }
    return [f"{path}:{line}: time.sleep, await asyncio.sleep" for line in sleeps(tree, names)]


def sleeps(tree: ast.AST, names: set[str]) -> Iterator[int]:
    """Lines that take `sleep` from the time module, whatever it is called here."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr="sleep") if name in names:
                yield node.lineno
            case ast.ImportFrom(module="time", names=aliases):
                if any(alias.name == "sleep" for alias in aliases):
                    yield node.lineno


def no_future_annotations(path: str, text: str) -> list[str]:
    """Structs and handlers are read at run time: their annotations must be types, not text."""
    return [
        f"{path}:{node.lineno}: no `from __future__ import annotations` here"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
    ]


def foreign_nouns(path: str, text: str) -> list[str]:
    """A noun calls another noun's operations, never its store, rules or routes."""
    parts = path.split("/")
    if parts[0] != "service" or len(parts) < 3 or parts[1] in FOUNDATION:
        return []
    own = FOUNDATION | {parts[1]}
    return [
        f"{path}:{line}: {target}, only service.<noun>.operations of another noun"
        for line, target in imported(text)
        if (steps := target.split("."))[0] == "service"
        and steps[1:2]
        and steps[1] not in own
        and steps[2:3] != ["operations"]
    ]


def defined_reasons(path: str, text: str) -> list[str]:
    """A reason has a defined code: one made on the spot is in no list and has no test."""
    return [
        f"{path}:{node.lineno}: Reason made on the spot, define_reason and because"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "Reason"
        and path != "service/kernel/problems.py"
    ]


def imported(text: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def locked(path: str, text: str) -> list[str]:
    """Every requirement is pinned and hashed; where packages come from is the user's choice."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip()]
    entries = [line for line in lines if not line.startswith("#")]
    faults = [
        f"{path}: not a pinned, hashed requirement: {entry[:60]}"
        for entry in entries
        if not REQUIREMENT.fullmatch(entry)
    ]
    faults += [f"{path}: a source in {line[:60]}" for line in lines if PACKAGE_SOURCE.search(line)]
    return faults if entries else [f"{path}: holds no requirement at all"]


def no_machine_path(path: str, text: str) -> list[str]:
    """A clone works anywhere: no file names a directory of the machine it was written on."""
    return [
        f"{path}:{number}: a path of one machine"
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]


def known_top_level(path: str, _text: str) -> list[str]:
    """The top level stays as documented; dot-names are the tools'."""
    top = path.split("/")[0]
    return [] if top in TOP_LEVEL or top.startswith(".") else [f"{path}: unknown at the top level"]


def python_in(*folders: str) -> Callable[[str], bool]:
    """Selects the Python files below any of the folders."""
    prefixes = tuple(f"{folder}/" for folder in folders)
    return lambda path: path.endswith(".py") and path.startswith(prefixes)


def runtime_annotated(path: str) -> bool:
    """Selects the files whose annotations are read at run time."""
    return python_in("schemas")(path) or path.endswith("/routes.py")


def any_file(_path: str) -> bool:
    """Selects everything."""
    return True


# Each rule and the files it is for.
RULES: list[tuple[Rule, Callable[[str], bool]]] = [
    (file_length, python_in("service", "schemas", "tests")),
    (function_length, python_in("service", "schemas")),
    (no_sql, python_in("service")),
    (no_sleep, python_in("service")),
    (no_future_annotations, runtime_annotated),
    (foreign_nouns, python_in("service")),
    (defined_reasons, python_in("service")),
    (locked, lambda path: path.startswith("requirements.") and path.endswith(".lock")),
    (no_machine_path, any_file),
    (known_top_level, any_file),
]
# The negative controls: a path and a text that the rule must report.
BAD_SAMPLES: list[tuple[Rule, str, str]] = [
    (file_length, "service/x.py", "x = 1\n" * 401),
    (function_length, "service/x.py", "def f():\n" + " 1\n" * 70),
    (no_sql, "service/x.py", "q = 'select 1'"),
    (no_sleep, "service/x.py", "import time as t\nt.sleep(1)"),
    (no_sleep, "service/x.py", "from time import sleep"),
    (no_future_annotations, "schemas/x.py", "from __future__ import annotations"),
    (foreign_nouns, "service/cards/routes.py", "from service.stores import store"),
    (foreign_nouns, "service/cards/store.py", "import service.stores.rules"),
    (defined_reasons, "service/x.py", "problems.Reason('no_stock', 'Sold out.')"),
    (locked, "requirements.lock", ""),
    (no_machine_path, "docs/x.md", "see /" + "home/li/kafang/x"),
    (known_top_level, "scripts/x.sh", ""),
]


def tracked() -> list[str]:
    """The project's files: what git would commit, or what is there where git has no say."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return [path for path in listed.stdout.split("\0") if (ROOT / path).is_file()]
    return [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.is_file() and not skipped(path.relative_to(ROOT).parts)
    ]


def skipped(parts: Iterable[str]) -> bool:
    """Dot-folders and byte code: what .gitignore leaves out of a listing."""
    return any(part == "__pycache__" or part.startswith(".") for part in parts)


def read(path: str) -> str:
    """The text of a file; of one that isn't text, nothing."""
    try:
        return (ROOT / path).read_text("utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize(("rule", "selects"), RULES, ids=[rule.__name__ for rule, _ in RULES])
def test_the_tree_is_tidy(rule: Rule, selects: Callable[[str], bool]) -> None:
    files = [path for path in tracked() if selects(path)]
    assert files, "the rule selects no file"
    faults = [fault for path in files for fault in rule(path, read(path))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("rule", "path", "text"), BAD_SAMPLES)
def test_each_rule_reports_its_bad_sample(rule: Rule, path: str, text: str) -> None:
    assert rule(path, text)


def test_each_rule_has_a_bad_sample() -> None:
    assert {rule for rule, _selects in RULES} == {rule for rule, _path, _text in BAD_SAMPLES}


BAD_SQL = [
    "SELECT id\nFROM card",
    "select $1::int",
    "select pg_advisory_lock($1)",
    "with due as (select 1) table due",
    "insert into card values ($1)",
    "update card c set state = 'frozen'",
    "update only lot set remaining = 0",
    "delete from card",
    "merge into card using x on true when matched then do nothing",
    "create unique index i on card (id)",
    "begin; truncate card",
    "set local app.merchant_id = '1'",
]
GOOD_SQL = [
    "Select another store.",
    "the card was updated: set a new PIN",
    "delete the draft from the list",
    "with love",
    "create a card first",
]


@pytest.mark.parametrize("statement", BAD_SQL)
def test_every_kind_of_statement_is_seen(statement: str) -> None:
    assert no_sql("service/x.py", f"q = {statement!r}")
    assert no_sql("service/x.py", f"q = f{statement + '{limit}'!r}")
    assert not no_sql("service/x.py", f'def f():\n    """{statement}"""')


@pytest.mark.parametrize("sentence", GOOD_SQL)
def test_sentences_are_no_sql(sentence: str) -> None:
    assert not no_sql("service/x.py", f"message = {sentence!r}")


def test_the_list_of_allowed_sql_is_not_stale() -> None:
    present = {(p, s) for p, _why in ALLOWED_SQL for _line, s in sql_strings(read(p[0]))}
    assert not ALLOWED_SQL.keys() - present


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("anyio==4.16.0 \\\n    --hash=sha256:" + "a" * 64 + "\n    # via httpx", True),
        ("uvloop==0.23.0 ; sys_platform != 'win32' \\\n    --hash=sha256:" + "b" * 64, True),
        ("anyio==4.16.0", False),
        ("anyio>=4 \\\n    --hash=sha256:" + "a" * 64, False),
        ("anyio @ https://packages.example/anyio.whl --hash=sha256:" + "a" * 64, False),
        ("--extra-index-url https://packages.example/simple", False),
    ],
)
def test_a_lock_line(line: str, clean: bool) -> None:
    assert (locked("requirements.lock", line + "\n") == []) is clean


def test_what_a_noun_may_import() -> None:
    allowed = (
        "from service.stores.operations import find\nfrom service.stores import operations\n"
        "from service.cards import store\nfrom service.kernel import ids\nimport schemas.cards"
    )
    assert foreign_nouns("service/cards/operations.py", allowed) == []
    assert foreign_nouns("service/app.py", "import service.stores.routes") == []
