"""A prepared data directory of the embedded server, copied for each test that asks for one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.kernel import embedded
from tests.kernel.embedded_tools import open_folder


@pytest.fixture(scope="session")
def prepared() -> Iterator[Path]:
    """A data directory that has been started once."""
    with open_folder() as folder:
        with embedded.running(folder / "data"):
            pass
        yield folder / "data"


@pytest.fixture
def data_dir(prepared: Path) -> Iterator[Path]:
    """A copy of it: each test has its own cluster, without a second of initdb each."""
    with open_folder() as folder:
        subprocess.run(["cp", "-a", prepared, folder / "data"], check=True)
        (folder / "data" / "port").unlink()
        yield folder / "data"
