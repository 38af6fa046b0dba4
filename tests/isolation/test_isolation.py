"""No tenant's byte in another's answer, with both lines of defence and with either one alone.

GOAL-G18, THREAT-T12, INV-H10. `KAFANG_ISOLATION_BYTES` and `KAFANG_ISOLATION_TENANTS` for more.
"""

import os
import random
from pathlib import Path

import asyncpg
import pytest

from tests.harness import server as servers
from tests.harness.server import ROOT, Server
from tests.isolation import stripped
from tests.isolation.drill import CALLS_MIN, ROUTES, Drill
from tests.isolation.world import settle

BYTES = int(os.environ.get("KAFANG_ISOLATION_BYTES", "10000000"))
TENANTS = int(os.environ.get("KAFANG_ISOLATION_TENANTS", "100"))
ALONE = BYTES // 10
ROW_SECURITY_OFF = """
do $$
declare t text;
begin
  for t in select c.relname from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'merchant_id'
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' loop
    execute format('alter table %I disable row level security', t);
  end loop;
end
$$
"""


async def without_row_security(server: Server) -> None:
    """Row-level security off in a service that runs; it would refuse to start so."""
    admin = await asyncpg.connect(server.postgres.admin_dsn, database="kafang")
    try:
        await admin.execute(ROW_SECURITY_OFF)
    finally:
        await admin.close()


# What would end what the drill needs, and what wants to know a secret.
NEVER = {
    "move_test_clock", "close_day", "reopen_day", "sign_out_member", "sign_out", "change_password",
    "confirm_totp", "disable_user", "approve", "reject", "erase_member",
}  # fmt: skip


@pytest.mark.parametrize(
    ("predicates", "row_security"),
    [(True, True), (False, True), (True, False), (False, False)],
    ids=["product", "row security alone", "predicates alone", "neither"],
)
async def test_GOAL_G18_no_foreign_watermark(
    predicates: bool, row_security: bool, tmp_path: Path
) -> None:
    """With neither, the negative control, watermarks are found."""
    cwd = ROOT
    if not predicates:
        tmp_path.chmod(0o755)
        assert stripped.tree(tmp_path) > 150
        cwd = tmp_path
    with servers.running(cwd=cwd) as server:
        tenants = await settle(server, TENANTS)
        if not row_security:
            await without_row_security(server)
        is_product = predicates and row_security
        drill = Drill(server, tenants, random.Random(18), BYTES if is_product else ALONE)
        await drill.run(until_leaked=not (predicates or row_security))
    if not (predicates or row_security):
        assert drill.leaks
        return
    assert drill.leaks == []
    assert drill.bytes_read >= drill.bytes_wanted
    assert min(drill.calls[route.operation_id] for route in ROUTES) >= CALLS_MIN
    assert {status for status in drill.statuses if status >= 500} <= {503}
    if is_product:
        never = {name for name in drill.calls if not drill.succeeded[name]}
        assert never <= NEVER, never
    print(
        f"{len(tenants)} tenants, {sum(drill.calls.values())} calls, "
        f"{drill.bytes_read:,} bytes, {len(drill.leaks)} foreign"
    )
