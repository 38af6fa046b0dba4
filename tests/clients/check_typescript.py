"""The TypeScript client, made and driven by `make clients`: it needs packages of the npm registry.

So it is no part of `make test`, which needs Python alone.
"""

import json
from typing import Any

from tests.clients.test_clients import CONTRACT, EXPECTED, facts, run
from tests.harness.server import ROOT, Server
from tests.harness.tenant import Tenant

TYPESCRIPT = ROOT / "tests" / "clients" / "typescript"


def test_CAP_G2_a_generated_typescript_client_runs_the_main_flow(
    server: Server, tenant: Tenant
) -> None:
    """Its compiler is strict: what the contract leaves open would not pass."""
    node: dict[str, Any] = {"cwd": TYPESCRIPT}
    modules = TYPESCRIPT / "node_modules" / ".bin"
    run(modules / "openapi-typescript", CONTRACT, "-o", "generated/kafang.d.ts", **node)
    run(modules / "tsc", **node)
    told = run("node", "main.ts", *facts(server, tenant), **node)
    assert json.loads(told) == EXPECTED
