"""How much memory there is: the machine's, or what a container or a service is let have of it."""

import os
from pathlib import Path

_FILES = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}  # cgroup v2 and v1


def memory_bytes(root: Path = Path("/")) -> int:
    """What this process may use at most, with all others that share its limits."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([pages, *_limits(root)])


def _limits(root: Path) -> list[int]:
    """The limits of the control groups that it is in, from the innermost out."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for kind in _FILES.keys() & set(controllers.split(",")):
            folder, _, name = f"/{_FILES[kind]}".rpartition("/")
            inner = root / f"sys/fs/cgroup{folder}"
            groups = [inner / path.strip("/")]
            while groups[-1] != inner:
                groups.append(groups[-1].parent)
            found += [limit for group in groups if (limit := _limit(group / name))]
    return found


def _limit(file: Path) -> int | None:
    """None: there is none, or none that is told."""
    try:
        text = file.read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
