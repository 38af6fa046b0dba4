-- Bookkeeping of the migration runner. The table is named with its schema: a migration may have
-- changed the search path.

-- name: create_table
-- What was applied, by kind and file, with the checksum of its text then. Repeatable.
create table if not exists public.schema_migration (
  kind        text not null check (kind in ('migrations', 'functions')),
  name        text not null,
  checksum    text not null,
  applied_at  timestamptz not null default now(),
  duration_ms integer not null,
  primary key (kind, name)
);

-- name: table_exists
-- Whether anything was ever applied here.
select to_regclass('public.schema_migration') is not null;

-- name: applied
-- All that was applied.
select kind, name, checksum from public.schema_migration;

-- name: record
-- A file was applied; a function file again when its text changed.
insert into public.schema_migration (kind, name, checksum, duration_ms)
values ($1, $2, $3, $4)
on conflict (kind, name) do update
set checksum = excluded.checksum, duration_ms = excluded.duration_ms, applied_at = now();

-- name: forget_functions
-- $1: the function files there are. One that is gone and comes back must be applied again.
delete from public.schema_migration where kind = 'functions' and not (name = any ($1::text[]));

-- name: try_lock
-- Polled, never waited for: the snapshot of a waiting backend would block a concurrent index build,
-- whose end it waits for.
select pg_try_advisory_lock($1);

-- name: set
-- A setting of this session.
select set_config($1, $2, false);

-- name: reset
-- What one file sets for its session is not for the next.
reset all;

-- name: drop_invalid_index
-- An interrupted concurrent build leaves an index that is no use, and "if not exists" keeps it.
-- Utility statements take no parameters: the name comes as the setting kafang.index.
do $$
declare
  v_index regclass := to_regclass(current_setting('kafang.index'));
begin
  if exists (select from pg_index where indexrelid = v_index and not indisvalid) then
    execute format('drop index %s', v_index);
  end if;
end $$;
