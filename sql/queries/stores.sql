-- Stores.

-- name: raise_epoch
-- Whoever remembers the tenant's configuration reads it again.
update merchant set epoch = epoch + 1 where merchant_id = $1 returning epoch;

-- name: insert
-- A new store.
insert into store (merchant_id, store_id, name, legal_entity, time_zone, day_cutoff, created_at)
values ($1, $2, $3, $4, $5, $6, clock_timestamp());
