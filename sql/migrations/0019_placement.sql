-- Where an area or a store is in the tree, from when to when. Kept for ever: the end of a placement is a time in its row.
-- What has none is directly under headquarters.

set local lock_timeout = '5s';

create table placement (
  merchant_id  text collate "C" not null,
  placement_id text collate "C" not null,
  area_id      text collate "C",
  store_id     text collate "C",
  -- The area it is in; null: directly under headquarters.
  parent_id    text collate "C",
  since        timestamptz not null,
  until        timestamptz,
  primary key (merchant_id, placement_id),
  foreign key (merchant_id, area_id) references area,
  foreign key (merchant_id, store_id) references store,
  foreign key (merchant_id, parent_id) references area,
  constraint placement_of_one check (num_nonnulls(area_id, store_id) = 1),
  constraint placement_elsewhere check (parent_id <> area_id)
);
-- In one place at a time.
create unique index placement_of_area on placement (merchant_id, area_id) where until is null;
create unique index placement_of_store on placement (merchant_id, store_id) where until is null;
create index placement_inside on placement (merchant_id, parent_id) where until is null;

alter table placement enable row level security;
alter table placement force row level security;
create policy tenant on placement using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on placement to kafang_app;
grant update (until) on placement to kafang_app;
