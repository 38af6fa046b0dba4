"""`python -m tests.upgrade [--from REF] [--per-s N] [--state-s S]`: exit 0 when nothing failed.

The old version is the commit `--from`, the new one is what lies here, with a migration for every
table and another text for every function on top.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.upgrade import versions
from tests.upgrade.drill import Plan, Report, run

SHOWN = 20


def main() -> int:
    """Upgrade, go back, upgrade again; say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("--from", dest="ref", default="HEAD~1", help="the old one (default HEAD~1)")
    parser.add_argument("--per-s", type=float, default=500.0, help="redemptions (default 500)")
    parser.add_argument("--state-s", type=float, default=10.0, help="each state (default 10)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kafang-upgrade-") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets are 0600
        old = versions.of_git(arguments.ref, folder / "old")
        new = versions.working_tree(folder / "new")
        versions.expand(new)
        report = asyncio.run(run(folder, Plan(old, new, arguments.per_s, arguments.state_s)))
    return told(report)


def told(report: Report) -> int:
    """Print the findings; the exit code."""
    for failure in report.failures[:SHOWN]:
        print(failure)
    print(report.summary())
    return 1 if report.failures or report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
