"""`python -m tests.personal` (`make rotation`): new keys for many members, under load."""

import argparse
import asyncio
import sys

from tests.personal import rotating


def main() -> None:
    """Run, print, exit 1 at a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=500_000, help="two fields each")
    found = asyncio.run(rotating.main(parser.parse_args().members))
    failed = len(found.failures) + found.left_behind + found.breaches
    print(
        f"{2 * found.members:,} fields sealed anew in {found.seconds:.0f} s; meanwhile "
        f"{found.reads:,} reads and {found.changes:,} changes, {len(found.failures)} failed; "
        f"{found.left_behind} left behind, {found.breaches} breaches of INV-D16"
    )
    print("\n".join(found.failures[:20]))
    sys.exit(1 if failed else 0)


main()
