"""A prepared data directory of the embedded server for each test; logging put back after one."""

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

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


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """A test may configure logging: afterwards it is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
