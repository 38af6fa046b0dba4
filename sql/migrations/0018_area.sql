-- The tree of a merchant: headquarters, areas within areas, stores. This file and the next two.

set local lock_timeout = '5s';

create table area (
  merchant_id text collate "C" not null references merchant,
  area_id     text collate "C" not null,
  name        text not null,
  created_at  timestamptz not null,
  primary key (merchant_id, area_id),
  constraint area_name unique (merchant_id, name)
);

alter table area enable row level security;
alter table area force row level security;
create policy tenant on area using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on area to kafang_app;
