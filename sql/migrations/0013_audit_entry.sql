-- What happened, numbered and sealed: every operation and every change of configuration of a merchant gets a number
-- once it is committed, and is sealed in a segment of a hash chain (decision 0022). This file and the next three.
--
-- The application may put what it posted into `unsequenced`, and no more: what numbers and seals it are functions that
-- run as the schema's owner (`sequence_v1`, `audit_v1`). Row-level security binds them too.

set local lock_timeout = '5s';

-- Who changed what of the configuration, or read what is personal, from where and why. Append-only.
create table audit_entry (
  merchant_id    text collate "C" not null references merchant,
  audit_entry_id text collate "C" not null,
  action         text not null,
  object_id      text collate "C",
  actor_kind     text not null check (actor_kind in ('user', 'api_key', 'member', 'operator')),
  actor_id       text collate "C" not null,
  session_id     text collate "C",
  address        text,
  request_id     text collate "C",
  reason         text,
  before         jsonb,
  after          jsonb,
  recorded_at    timestamptz not null,
  primary key (merchant_id, audit_entry_id)
);
create index audit_entry_object on audit_entry (merchant_id, object_id, audit_entry_id);

alter table audit_entry enable row level security;
alter table audit_entry force row level security;
create policy tenant on audit_entry using (merchant_id = current_setting('kafang.merchant_id', true));
grant select on audit_entry to kafang_app;
