"""Clients that generators make from the contract alone run the main flow against a real service."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.harness.server import CONTRACT, ROOT, Server
from tests.harness.tenant import Tenant

TOOLS = Path(sys.executable).parent
TIMEOUT_S = 120.0
# 300 yuan and 50 on top; 88 taken, 30 given back.
EXPECTED = {
    "kinds": ["issue", "activate", "top_up", "redeem", "refund"],
    "left": 30_000 + 5_000 - 8_800 + 3_000,
    "refused": ["redemption_refused", "insufficient_balance"],
}


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """What a command prints; it must end well."""
    path = f"{TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}\n{done.stderr}"
    return done.stdout


def facts(server: Server, tenant: Tenant) -> list[str]:
    """What a client is told: where, its keys, the template and the store."""
    keys = [tenant.merchant_key, tenant.pos_keys[0]]
    return [server.base_url, *keys, tenant.template_id, tenant.store_ids[0]]


def test_CAP_G2_a_generated_python_client_runs_the_main_flow(
    server: Server, tenant: Tenant, tmp_path: Path
) -> None:
    package = tmp_path / "kafang_client"
    generate = ("generate", "--path", CONTRACT, "--output-path", package, "--meta", "none")
    made = run("openapi-python-client", *generate, "--fail-on-warning")
    assert "Warning" not in made
    driver = ROOT / "tests" / "clients" / "drive.py"
    told = run(sys.executable, driver, *facts(server, tenant), PYTHONPATH=str(tmp_path))
    assert json.loads(told) == EXPECTED
