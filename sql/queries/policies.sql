-- What stores may do, by places in the tree.

-- name: way
-- What is said of a place from headquarters down to it; see policies_v1.
select policies_v1($1, $2);

-- name: insert
-- Other rules of a place.
insert into policy (merchant_id, node_id, area_id, store_id, version, rules, made_by, made_at)
values ($1, $2, case when $2 like 'are\_%' then $2 end, case when $2 like 'sto\_%' then $2 end, $3, $4::text::jsonb, $5,
  clock_timestamp());

-- name: page
-- The places after an id that say something, in the order of their ids; of stores some, or all.
select distinct on (node_id) node_id, version, rules::text
from policy
where merchant_id = $1 and node_id > $2
  and ($3::text[] is null or store_id is null or store_id = any ($3::text[]))
order by node_id, version desc limit $4;

-- name: is_area
-- Whether there is such an area.
select exists (select from area where merchant_id = $1 and area_id = $2);

-- name: is_given
-- Whether somebody has one of these roles in just this area.
select exists (
  select from role_grant
  where merchant_id = $1 and user_id = $2 and area_id = $3 and role = any ($4::text[]) and revoked_at is null);
