-- Who serves may see whether the schema is the one it needs, so only `migrate` and `verify` need the owner.

set local lock_timeout = '5s';

grant select on schema_migration to kafang_app;
