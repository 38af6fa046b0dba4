"""What the guides tell a reader to type works as it is written, and answers what they show."""

import json
from typing import Any

import pytest

from tests.contract.flow import shape
from tests.docs import guides
from tests.harness import server as servers
from tests.harness.server import Server

# What a reader acts on: the same in each run, not only of the same shape.
FIXED = ("code", "status", "kind", "outcome", "retry")


def facts(value: Any) -> Any:
    """The shape of an answer, and what a reader acts on."""
    if isinstance(value, dict):
        return {name: item if name in FIXED else facts(item) for name, item in value.items()}
    return [facts(item) for item in value] if isinstance(value, list) else shape(value)


@pytest.mark.parametrize("name", guides.names())
def test_CAP_G2_a_guide_runs_as_it_is_written(name: str) -> None:
    text = (guides.FOLDER / f"{name}.md").read_text("utf-8")
    steps = guides.steps(text)
    with servers.running() as fresh:  # a day's totals hold what others did too
        printed = guides.run(text, fresh)
    for step, answer in zip(steps, printed, strict=True):
        assert bool(step.shown) == bool(answer.strip()), f"shown or not: {step.commands}"
        if step.shown:
            assert facts(json.loads(answer)) == facts(json.loads(step.shown)), step.commands


def test_a_command_that_fails_ends_a_guide(server: Server) -> None:
    with pytest.raises(RuntimeError, match="exit 3"):
        guides.run("```sh\nexit 3\n```\n", server)
