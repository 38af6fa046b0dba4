"""A chain's eighteen months in a minute; exit code 1 when the books don't balance."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.demo import books, report
from tests.demo.play import play
from tests.demo.progress import Progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, report, and say whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=7, help="what every decision follows from (7)")
    parser.add_argument("--facts", type=Path, help="also write what the report is made from (JSON)")
    given = parser.parse_args(arguments)
    # Whoever ends the demo ends its server with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts = play(given.seconds, given.seed, Progress())
    if given.facts:
        given.facts.write_bytes(msgspec.json.encode(facts))
    return conclude(facts)


def conclude(facts: books.Facts) -> int:
    """Print the report; the exit code."""
    print(report.text(facts))
    return 1 if books.faults(facts) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
