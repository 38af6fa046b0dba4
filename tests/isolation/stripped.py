"""A copy of the service whose statements name no tenant: row-level security is all that is left."""

import re
from pathlib import Path

from tests.upgrade import versions

# In queries and in functions: what a row's tenant is compared with.
PARAMETER = re.compile(r"\b(?:\w+\.)?merchant_id = (\$1|p_merchant)\b(?!:)")

# The owner's, who may see where every chain ends: they answer nobody.
KEPT = ("schema.sql", "chain_open_v1.sql", "chain_append_v1.sql", "sequence_v1.sql", "audit_v1.sql")
# The keys of people are in another database, where no row is policed: another merchant's key opens
# nothing (tests/kernel/test_keyring.py).
NOT_HERE = ("migrations", "keys")


def tree(folder: Path) -> int:
    """Copy what lies here into a folder, without tenant predicates; how many were taken out."""
    versions.working_tree(folder)
    taken = 0
    for file in sorted((folder / "sql").rglob("*.sql")):
        if file.parent.name in NOT_HERE or file.name in KEPT:
            continue
        text, count = PARAMETER.subn(r"\1::text is not null", file.read_text("utf-8"))
        file.write_text(text)
        taken += count
    return taken
