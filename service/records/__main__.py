"""`python -m service.records html|pdf`: prints a record's JSON from standard input.

It needs nothing but that JSON, so whoever has it can print it again anywhere.
"""

import os
import sys

import msgspec

from schemas.records import CardRecord
from service.records import html
from service.records.sheet import Sheet, sheet

CPU_MAX_S = 60
MEMORY_MAX_BYTES = 2**30
RANK = 10


def main(kind: str) -> None:
    """Print what comes in."""
    _bound()
    made = sheet(msgspec.json.decode(sys.stdin.buffer.read(), type=CardRecord))
    sys.stdout.buffer.write(_file(made) if kind == "pdf" else html.page(made))


def _file(made: Sheet) -> bytes:
    from service.records import pdf  # a page needs none of its library

    return pdf.file(made)


def _bound() -> None:
    """Let whatever else this machine does go first, and end rather than take it all."""
    if os.name != "posix":
        return
    import resource

    os.nice(RANK)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as error:
        from service.kernel import redaction  # an error's text may quote the record

        sys.exit(redaction.stack(error))
