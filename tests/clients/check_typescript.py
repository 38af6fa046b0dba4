"""The TypeScript client, made and driven by `make clients`: it needs packages of the npm registry.

So it is no part of `make test`, which needs Python alone.
"""

import json

from tests.clients.test_clients import EXPECTED, facts, run
from tests.harness.server import CONTRACT, ROOT, Server
from tests.harness.tenant import Tenant

TYPESCRIPT = ROOT / "tests" / "clients" / "typescript"


def test_CAP_G2_a_generated_typescript_client_runs_the_main_flow(
    server: Server, tenant: Tenant
) -> None:
    """Its compiler is strict: what the contract leaves open would not pass."""
    modules = TYPESCRIPT / "node_modules" / ".bin"
    run(modules / "openapi-typescript", CONTRACT, "-o", "generated/kafang.d.ts", cwd=TYPESCRIPT)
    run(modules / "tsc", cwd=TYPESCRIPT)
    told = run("node", "main.ts", *facts(server, tenant), cwd=TYPESCRIPT)
    assert json.loads(told) == EXPECTED
