-- What happened, numbered and sealed: every operation and every change of configuration of a merchant gets a number
-- once it is committed, and is sealed in a segment of a hash chain.
--
-- The application may put what it posted into `unsequenced`, and no more: what numbers and seals it are functions that
-- run as the schema's owner (`sequence_v1`, `audit_v1`). Row-level security binds them too.

set local lock_timeout = '5s';

-- Who, where a person did it: beside the API key, of which there is none then.
alter table operation add column user_id text collate "C", add column session_id text collate "C";

-- What was posted and has no number yet: a row for each post, gone once it is numbered. A post gets its number while it
-- holds its cards, so that numbers of posts of one card are in the order of its versions.
create table unsequenced (
  merchant_id text collate "C" not null,
  post_no     bigint generated always as identity,
  operations  text[] not null check (cardinality(operations) > 0),
  posted_at   timestamptz not null default clock_timestamp(),
  primary key (merchant_id, post_no)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

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

-- The end of a merchant's chain: whoever appends to it holds this row, so that it can't fork.
create table chain_head (
  merchant_id text collate "C" primary key references merchant,
  segment_no  bigint not null check (segment_no >= 0),
  last_seq    bigint not null,
  hash        bytea not null check (octet_length(hash) = 32),
  moved_at    timestamptz not null,
  constraint chain_head_last_seq check (last_seq >= segment_no)
);

-- A link of the chain: the operations and audit entries with the numbers first_seq … last_seq, in their order. `digest`
-- is that of what they say (chain_lines_v1), `hash` covers it and the segment before (chain_append_v1). Append-only.
create table segment (
  merchant_id text collate "C" not null,
  segment_no  bigint not null check (segment_no > 0),
  first_seq   bigint not null check (first_seq > 0),
  last_seq    bigint not null,
  format      smallint not null check (format = 1),
  entries     text[] not null,
  digest      bytea not null check (octet_length(digest) = 32),
  hash        bytea not null check (octet_length(hash) = 32),
  sealed_at   timestamptz not null,
  primary key (merchant_id, segment_no),
  constraint segment_last_seq unique (merchant_id, last_seq),
  constraint segment_numbers check (last_seq - first_seq + 1 = cardinality(entries) and last_seq >= first_seq),
  foreign key (merchant_id) references chain_head
);

alter table unsequenced enable row level security;
alter table unsequenced force row level security;
create policy tenant on unsequenced using (merchant_id = current_setting('kafang.merchant_id', true));
alter table audit_entry enable row level security;
alter table audit_entry force row level security;
create policy tenant on audit_entry using (merchant_id = current_setting('kafang.merchant_id', true));
alter table chain_head enable row level security;
alter table chain_head force row level security;
create policy tenant on chain_head using (merchant_id = current_setting('kafang.merchant_id', true));
alter table segment enable row level security;
alter table segment force row level security;
create policy tenant on segment using (merchant_id = current_setting('kafang.merchant_id', true));

-- Which merchants have something to number, and how far each chain is, is told to whoever numbers and anchors.
create policy operator_list on unsequenced for select to current_user using (true);
create policy operator_list on chain_head for select to current_user using (true);

grant select, insert on unsequenced to kafang_app;
grant select on audit_entry, chain_head, segment to kafang_app;
