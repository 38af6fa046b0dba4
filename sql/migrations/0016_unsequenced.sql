-- What was posted and has no number yet: a row for each post, gone once it is numbered. A post gets its number while it
-- holds its cards, so that numbers of posts of one card are in the order of its versions.

set local lock_timeout = '5s';

create table unsequenced (
  merchant_id text collate "C" not null,
  post_no     bigint generated always as identity,
  operations  text[] not null check (cardinality(operations) > 0),
  posted_at   timestamptz not null default clock_timestamp(),
  primary key (merchant_id, post_no)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

alter table unsequenced enable row level security;
alter table unsequenced force row level security;
create policy tenant on unsequenced using (merchant_id = current_setting('kafang.merchant_id', true));
-- Which merchants have something to number, is told to whoever numbers it.
create policy operator_list on unsequenced for select to current_user using (true);
grant select, insert on unsequenced to kafang_app;
