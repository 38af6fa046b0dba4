-- Stores.

-- name: insert
-- A new store; nothing when there is one of this code.
insert into store (merchant_id, store_id, name, legal_entity, time_zone, day_cutoff, code, contract, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp())
on conflict do nothing
returning store_id;

-- name: page
-- Stores made after one, in the order they were made; some of them, or all.
select s.store_id as id, s.code, s.name, s.legal_entity, s.time_zone, s.day_cutoff, s.status, p.parent_id, s.contract,
  s.created_at
from store s
left join placement p on p.merchant_id = $1 and p.store_id = s.store_id and p.until is null
where s.merchant_id = $1 and s.store_id > $2 and ($3::text[] is null or s.store_id = any ($3::text[]))
order by s.store_id limit $4;

-- name: by_code
-- The store that is called so.
select store_id from store where merchant_id = $1 and code = $2;
