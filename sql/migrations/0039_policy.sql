-- What stores may do: rules of headquarters, of areas and of stores, a row for each version. And what terms_v4 returns of
-- a store, with what is said from headquarters down to it.

set local lock_timeout = '5s';

create table policy (
  merchant_id text collate "C" not null references merchant,
  -- Whose rules: the store's, the area's or (neither) headquarters'.
  node_id     text collate "C" not null,
  area_id     text collate "C",
  store_id    text collate "C",
  version     integer not null check (version > 0),
  rules       jsonb not null,
  made_by     text collate "C" not null,
  made_at     timestamptz not null,
  primary key (merchant_id, node_id, version),
  foreign key (merchant_id, area_id) references area,
  foreign key (merchant_id, store_id) references store,
  constraint policy_node check (
    num_nonnulls(area_id, store_id) <= 1 and node_id = coalesce(store_id, area_id, merchant_id))
);

alter table policy enable row level security;
alter table policy force row level security;
create policy tenant on policy using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on policy to kafang_app;

create type policy_row_v1 as (node_id text, version integer, rules text);

create type store_row_v3 as (
  store_id text, legal_entity text, time_zone text, day_cutoff time, status text, closed_through date,
  policies policy_row_v1[]);
