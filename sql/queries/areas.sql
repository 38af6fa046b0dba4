-- The tree: areas, and where they and stores are.

-- name: all
-- Every area, in the order they were made.
select a.area_id as id, a.name, p.parent_id, a.created_at
from area a
left join placement p on p.merchant_id = $1 and p.area_id = a.area_id and p.until is null
where a.merchant_id = $1
order by a.area_id;

-- name: insert
-- A new one.
insert into area (merchant_id, area_id, name, created_at)
values ($1, $2, $3, clock_timestamp());

-- name: place_area
-- From now on it is there.
insert into placement (merchant_id, placement_id, area_id, parent_id, since)
values ($1, $2, $3, $4, clock_timestamp());

-- name: place_store
-- From now on it is there.
insert into placement (merchant_id, placement_id, store_id, parent_id, since)
values ($1, $2, $3, $4, clock_timestamp());

-- name: leave
-- Where it was until now.
update placement set until = clock_timestamp()
where merchant_id = $1 and (area_id = $2 or store_id = $2) and until is null;
