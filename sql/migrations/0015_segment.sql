-- A link of the chain: the operations and audit entries with the numbers first_seq … last_seq, in their order. `digest`
-- is that of what they say (chain_lines_v1), `hash` covers it and the segment before (chain_append_v1). Append-only.

set local lock_timeout = '5s';

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

alter table segment enable row level security;
alter table segment force row level security;
create policy tenant on segment using (merchant_id = current_setting('kafang.merchant_id', true));
grant select on segment to kafang_app;
