"""A chain's day in a minute; exit code 1 when the books don't balance."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.demo import books, page, report
from tests.demo.play import play
from tests.demo.progress import Progress
from tests.harness.server import ROOT

NAME = "demo-report.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, report, and say whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=7, help="what every decision follows from (7)")
    parser.add_argument("--report", type=Path, help=f"where the report goes (.kafang/{NAME})")
    parser.add_argument("--facts", type=Path, help="also write what the report is made from (JSON)")
    given = parser.parse_args(arguments)
    for file in (given.report, given.facts):
        if file and not file.absolute().parent.is_dir():
            parser.error(f"there is no folder for {file}")
    # Whoever ends the demo ends its server with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts = play(given.seconds, given.seed, Progress())
    if given.facts:
        given.facts.write_bytes(msgspec.json.encode(facts))
    code = conclude(facts)
    print(f"The report: {keep(page.html(facts), given.report)}")
    return code


def keep(html: str, asked: Path | None, folder: Path = ROOT / ".kafang") -> Path:
    """Write the report where asked, else to `folder`, else to one that can be written to."""
    if asked is None:
        try:
            folder.mkdir(exist_ok=True)
            asked = folder / NAME
            asked.write_text(html, "utf-8")
        except OSError:
            asked = Path(tempfile.mkdtemp(prefix="kafang-demo-")) / NAME
    asked.write_text(html, "utf-8")
    return asked.absolute()


def conclude(facts: books.Facts) -> int:
    """Print the figures; the exit code."""
    print(report.text(facts))
    return 1 if books.faults(facts) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
