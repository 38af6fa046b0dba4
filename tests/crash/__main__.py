"""`python -m tests.crash --cycles N [--seed S] [--keep]`: exit 0 when nothing was found, else 1."""

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.kills import KINDS
from tests.crash.run import Plan, Report, run

FINDINGS_SHOWN = 30


def main() -> int:
    """Kill, check, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--cycles", type=int, default=20, help="how often to kill (default: 20)")
    parser.add_argument("--seed", default=secrets.token_hex(3), help="of kills and intents")
    parser.add_argument("--only", choices=KINDS, help="kill nothing else")
    parser.add_argument("--keep", action="store_true", help="leave data and logs, say where")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kafang-crash-"))
    report, began = Report(), time.monotonic()
    print(f"crash: {arguments.cycles} cycles, seed {arguments.seed}, in {folder}", flush=True)
    try:
        kinds = (arguments.only,) if arguments.only else KINDS
        report = asyncio.run(crash(folder, Plan(arguments.cycles, arguments.seed, kinds)))
    finally:
        if arguments.keep or not report.cycles or report.findings:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)
    for finding in report.findings[:FINDINGS_SHOWN]:
        print(f"{finding.sort}: {finding.subject}: {finding.detail}")
    print(", ".join(f"{name} {count}" for name, count in sorted(report.counts.items())))
    print(f"supervisor started again {report.starts} times, {time.monotonic() - began:.0f} s")
    print(report.summary())
    return 1 if report.findings else 0


async def crash(folder: Path, plan: Plan) -> Report:
    """A run in a folder of its own."""
    os.chmod(folder, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets inside are 0600
    data_dir, scratch = folder / "data", folder / "tmp"
    data_dir.mkdir()
    scratch.mkdir()
    # A killed supervisor can't tidy up its scratch files: they go with the folder.
    return await run(data_dir, {"TMPDIR": str(scratch)}, plan)


if __name__ == "__main__":
    sys.exit(main())
