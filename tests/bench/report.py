"""The report: on stdout while it runs, and in docs/performance.md between markers."""

import os
import platform
import re
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.bench.figures import BenchError, Line

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
_PROBES = 100


def table(lines: Sequence[Line]) -> str:
    """A Markdown table with a verdict for each line that has a target."""
    rows = [("What", "Figure", "Target", "Verdict")]
    rows += [(line.what, line.figure, line.target, _verdict(line)) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rows.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    return "\n".join(
        "| "
        + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    )


def machine(server_version: str, folder: Path) -> str:
    """What it ran on, as far as it matters: cores, memory, disk, versions."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (
        f"{_cpu_model()}, {os.cpu_count()} cores, {pages / 2**30:.0f} GiB of memory, "
        f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}, "
        f"a durable write of 8 KiB in {_durable_write_us(folder):,.0f} µs; "
        f"Python {platform.python_version()}, PostgreSQL {server_version}; "
        f"client, service and database all on it; load average before: {os.getloadavg()[0]:.1f}"
    )


def section(text: str, name: str, body: str) -> str:
    """The document with the body between the markers of this name; BenchError without them."""
    begin, end = f"<!-- bench {name} -->\n", "<!-- end -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise BenchError(f"the document has no place for {name}: {begin.strip()} … {end}")
    return f"{head}{begin}\n{body}\n\n{end}{tail}"


def write(name: str, lines: Sequence[Line], command: str, machine_text: str) -> None:
    """Put a measurement into the document."""
    today = datetime.now(UTC).date()
    body = f"{table(lines)}\n\n`{command}`, {today}, on {machine_text}."
    DOCUMENT.write_text(section(DOCUMENT.read_text("utf-8"), name, body), "utf-8")


def _verdict(line: Line) -> str:
    return "" if line.met is None else "met" if line.met else "**missed**"


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except FileNotFoundError:
        found = None
    return found[1] if found else platform.machine()


def _durable_write_us(folder: Path) -> float:
    """What a commit can't be faster than: a page written and forced to the disk, in the median."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_PROBES):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(8192), 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return median(times) * 1e6
