"""On the loop that the workers use, and on the one that asyncio specifies."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each test of this folder runs on both."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
