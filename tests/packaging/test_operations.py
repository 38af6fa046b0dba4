"""What is on call's to read names what is there: metrics, settings, commands."""

import configparser
import json
import re
from pathlib import Path

from service.kernel import metrics
from service.settings import Settings
from tests.harness.server import ROOT

DEPLOY = ROOT / "docs" / "deploy"
SETTINGS = {f"KAFANG_{name.upper()}" for name in Settings.__struct_fields__}
METRIC = re.compile(r"\bkafang_[a-z_]+")
ENDS = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count"),
}


def known_metrics() -> set[str]:
    """The names of all series, also of those that have counted nothing yet."""
    metrics.flush()  # opens them
    families = list(vars(metrics)["_registry"].collect())
    return {f.name + end for f in families for end in ENDS[f.type]}


def expressions(dashboard: Path) -> list[str]:
    """What the panels ask Prometheus."""
    panels = json.loads(dashboard.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_dashboard_asks_for_what_there_is() -> None:
    asked = expressions(DEPLOY / "grafana-dashboard.json")
    named = {name for text in asked for name in METRIC.findall(text)}
    assert len(asked) >= 10
    assert named <= known_metrics()
    assert "kafang_no_such_total" not in known_metrics(), "control"


def test_the_dashboard_forgets_no_metric() -> None:
    asked = " ".join(expressions(DEPLOY / "grafana-dashboard.json"))
    metrics.flush()
    families = {family.name for family in vars(metrics)["_registry"].collect()}
    assert len(families) >= 10
    assert {name for name in families if name not in asked} == set()


def test_the_runbook_names_what_there_is() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert set(METRIC.findall(text)) <= known_metrics()
    assert set(re.findall(r"\bKAFANG_[A-Z_]+", text)) <= SETTINGS
    for link in re.findall(r"\]\((deploy/[^)]+)\)", text):
        assert (ROOT / "docs" / link).is_file(), link


def test_the_unit_starts_the_command_with_settings_that_exist() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "kafang.service")
    assert unit["Service"]["ExecStart"].endswith("/kafang run")
    name = unit["Service"]["Environment"].partition("=")[0]
    assert name in SETTINGS
    assert unit["Service"]["KillMode"] == "mixed"
    # It connects to nothing, and loads from nowhere, that isn't named. ASVS V13.2.4, V13.2.5.
    allowed = unit["Service"]["IPAddressDeny"], unit["Service"]["IPAddressAllow"]
    assert allowed == ("any", "localhost")
