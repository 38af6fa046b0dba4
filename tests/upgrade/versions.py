"""Two versions in folders of their own: one from git or the working tree, and its successor."""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.harness.server import ROOT

PACKAGES = ("service", "schemas", "sql")
# What every successor brings, so that there is always something to migrate.
ADDS = "set local lock_timeout = '5s';\nalter table {} add column drill text not null default '';\n"


def working_tree(folder: Path) -> Path:
    """What lies here now."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    return folder


def of_git(ref: str, folder: Path) -> Path:
    """What was committed as `ref`."""
    packed = subprocess.run(
        ["git", "archive", ref, *PACKAGES], cwd=ROOT, check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def expand(folder: Path) -> None:
    """Give a version something to migrate: a column for every table, a new text for every function.

    One table a file: two tables locked by one transaction could meet a sale that takes them in the
    other order.
    """
    tables = re.findall(r"^create table (\w+)", (ROOT / "sql/schema.sql").read_text("utf-8"), re.M)
    for table in tables:
        add_migration(folder, f"drill_{table}", ADDS.format(table))
    for function in (folder / "sql/functions").glob("*.sql"):
        with function.open("a", encoding="utf-8") as stream:
            stream.write("-- The same, with another text.\n")


def add_migration(folder: Path, name: str, text: str) -> None:
    """One more migration, behind the last."""
    migrations = folder / "sql/migrations"
    last = max(file.name[:4] for file in migrations.glob("*.sql"))
    (migrations / f"{int(last) + 1:04}_{name}.sql").write_text(text, "utf-8")
