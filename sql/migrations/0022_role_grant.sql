-- Who has which role, where: in the whole merchant, in an area with all below it, or in a store. The end of a grant is a
-- time in its row.

set local lock_timeout = '5s';

create table role_grant (
  merchant_id text collate "C" not null,
  grant_id    text collate "C" not null,
  user_id     text collate "C" not null,
  role        text not null,
  area_id     text collate "C",
  store_id    text collate "C",
  granted_at  timestamptz not null,
  granted_by  text collate "C" not null,
  revoked_at  timestamptz,
  revoked_by  text collate "C",
  primary key (merchant_id, grant_id),
  foreign key (merchant_id, user_id) references user_account,
  foreign key (merchant_id, area_id) references area,
  foreign key (merchant_id, store_id) references store,
  constraint role_grant_at_one check (num_nonnulls(area_id, store_id) <= 1),
  constraint role_grant_end check ((revoked_at is null) = (revoked_by is null))
);
-- Once at one place.
create unique index role_grant_now on role_grant (merchant_id, user_id, role, area_id, store_id)
  nulls not distinct where revoked_at is null;

alter table role_grant enable row level security;
alter table role_grant force row level security;
create policy tenant on role_grant using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on role_grant to kafang_app;
grant update (revoked_at, revoked_by) on role_grant to kafang_app;
