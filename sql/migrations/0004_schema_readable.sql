-- Who serves may see whether the schema is the one it needs, so only `migrate` and `verify` need the owner.
grant select on schema_migration to kafang_app;
