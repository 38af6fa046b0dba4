-- The end of a merchant's chain: whoever appends to it holds this row, so that it can't fork.

set local lock_timeout = '5s';

create table chain_head (
  merchant_id text collate "C" primary key references merchant,
  segment_no  bigint not null check (segment_no >= 0),
  last_seq    bigint not null,
  hash        bytea not null check (octet_length(hash) = 32),
  moved_at    timestamptz not null,
  constraint chain_head_last_seq check (last_seq >= segment_no)
);

alter table chain_head enable row level security;
alter table chain_head force row level security;
create policy tenant on chain_head using (merchant_id = current_setting('kafang.merchant_id', true));
-- How far each chain is, is told to whoever anchors them.
create policy operator_list on chain_head for select to current_user using (true);
grant select on chain_head to kafang_app;
