-- Which requests need a second person: a merchant's rules, a row for each version of them. This file and the next three.

set local lock_timeout = '5s';

create table authority (
  merchant_id text collate "C" not null references merchant,
  version     integer not null check (version > 0),
  rules       jsonb not null,
  made_by     text collate "C" not null,
  made_at     timestamptz not null,
  primary key (merchant_id, version)
);

alter table authority enable row level security;
alter table authority force row level security;
create policy tenant on authority using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on authority to kafang_app;
