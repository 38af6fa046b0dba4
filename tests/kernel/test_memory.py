"""The memory that counts is what a container is let have, not the machine's."""

import os
from pathlib import Path

import pytest

from service.kernel import embedded
from service.kernel.memory import memory_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


@pytest.mark.parametrize(
    ("group", "limits", "wanted"),
    [
        ("0::/", {}, MACHINE),
        ("0::/", {"memory.max": "max"}, MACHINE),
        ("0::/", {"memory.max": f"{512 * MIB}"}, 512 * MIB),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": f"{300 * MIB}"}, 300 * MIB),
        ("0::/a", {"a/memory.max": f"{300 * MIB}", "memory.max": f"{200 * MIB}"}, 200 * MIB),
        ("4:cpu,memory:/x", {"memory/memory.limit_in_bytes": f"{64 * MIB}"}, 64 * MIB),
        ("4:memory:/x", {"memory/x/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("4:cpuset:/x", {"memory/memory.limit_in_bytes": f"{64 * MIB}"}, MACHINE),
    ],
)
def test_the_least_limit_counts(
    tmp_path: Path, group: str, limits: dict[str, str], wanted: int
) -> None:
    given = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    for name, text in {"proc/self/cgroup": group, **given}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n", "ascii")
    assert memory_bytes(tmp_path) == wanted


def test_where_there_are_no_groups_the_machine_counts(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("memory", "megabytes"), [(256, 128), (1_000, 250), (24_000, 6_000), (256_000, 8_192)]
)
def test_a_quarter_of_it_holds_pages(memory: int, megabytes: int) -> None:
    assert embedded.buffers(memory * MIB) == f"{megabytes}MB"
