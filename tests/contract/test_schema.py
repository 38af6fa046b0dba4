"""sql/schema.sql, which readers use, is what the migrations make."""

from tests.harness.server import ROOT
from tests.sql import dump_schema


async def test_the_committed_schema_is_the_migrated_one() -> None:
    committed = (ROOT / "sql" / "schema.sql").read_text("utf-8")
    assert committed == await dump_schema.main(), "sql/schema.sql is stale: make schema"
