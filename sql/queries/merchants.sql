-- Tenants.

-- name: insert
-- A new tenant.
insert into merchant (merchant_id, name, mode, currency, time_zone, created_at)
values ($1, $2, $3, $4, $5, clock_timestamp());

-- name: become_platform
-- Whose people look after the others; there is one.
insert into platform (platform_id) values ($1);

-- name: move_clock
-- A test tenant's clock, only ever forward; the epoch tells every worker.
update merchant set test_now = $2, epoch = epoch + 1
where merchant_id = $1 and mode = 'test' and $2 > coalesce(test_now, clock_timestamp())
returning test_now;

-- name: list_ids
-- Every tenant: for whoever owns the database.
select merchant_id from merchant order by merchant_id;
