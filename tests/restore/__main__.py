"""`python -m tests.restore --points N [--seed S] [--keep]`: exit 0 when nothing was found."""

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.restore.drill import Plan, Run, run

FINDINGS_SHOWN = 30


def main() -> int:
    """Back up, restore to every point, say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.restore", description=__doc__)
    parser.add_argument("--points", type=int, default=20, help="instants (default: 20)")
    parser.add_argument("--seed", default=secrets.token_hex(3), help="of instants and intents")
    parser.add_argument("--keep", action="store_true", help="leave backup and archive, say where")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kafang-restore-"))
    os.chmod(folder, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets inside are 0600
    print(f"restore: {arguments.points} points, seed {arguments.seed}, in {folder}", flush=True)
    began, found = time.monotonic(), None
    try:
        found = asyncio.run(run(folder, Plan(arguments.points, arguments.seed)))
    finally:
        if arguments.keep or found is None or found.findings:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)
    return told(found, time.monotonic() - began)


def told(found: Run, took_s: float) -> int:
    """Print the findings; the exit code."""
    for finding in found.findings[:FINDINGS_SHOWN]:
        print(f"{finding.sort}: {finding.subject}: {finding.detail}")
    print(f"{found.summary()}; {took_s:.0f} s")
    return 1 if found.findings else 0


if __name__ == "__main__":
    sys.exit(main())
