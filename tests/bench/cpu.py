"""CPU time of processes: what a shared, noisy machine can still measure."""

import os
from pathlib import Path

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def busy_us(pid: int) -> float:
    """CPU time a process has used, in microseconds, all threads; 0 when it has gone."""
    total = 0.0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text("ascii").split()[0]) / 1000
    except (FileNotFoundError, ProcessLookupError):
        return _ticks_us(pid, 11, 12)
    return total


def ended_children_us(pid: int) -> float:
    """CPU time of a process's children that have ended and were waited for."""
    return _ticks_us(pid, 13, 14)


def children(pid: int) -> list[int]:
    """Pids of a process's children now."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def family_us(pid: int) -> float:
    """CPU time of a process, its children now and those it had."""
    return busy_us(pid) + ended_children_us(pid) + sum(busy_us(child) for child in children(pid))


def _ticks_us(pid: int, *fields: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # The name in parentheses may hold anything; fields count from the one after it.
    values = stat.rpartition(")")[2].split()
    return float(sum(int(values[field]) for field in fields) * _TICK_US)
