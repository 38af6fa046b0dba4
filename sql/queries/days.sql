-- The business days of a store. $1 is the merchant, $2 the store, $3 the date.

-- name: hold
-- Alone with the store's days until the end of the transaction: posts of the store share this lock (post_v1).
select pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: place
-- The store, and through which day it is closed.
select store_id, time_zone, day_cutoff, closed_through from store where merchant_id = $1 and store_id = $2;

-- name: close_through
-- The days up to $3 are closed, and no others; every worker reads it with the epoch.
with store as (
  update store set closed_through = $3 where merchant_id = $1 and store_id = $2)
update merchant set epoch = epoch + 1 where merchant_id = $1;

-- name: lines
-- What a day holds, by the finest lines.
select terminal_id, operator, shift, kind, details ->> 'tender' as tender, status = 'accepted' as accepted,
  count(*) as operations, sum(amount)::bigint as amount
from operation
where merchant_id = $1 and store_id = $2 and business_date = $3
group by terminal_id, operator, shift, kind, tender, accepted;

-- name: changes
-- The closings and reopenings of a day.
select change_no, action, reason, changed_at, totals::text as totals
from day_change where merchant_id = $1 and store_id = $2 and business_date = $3
order by change_no;

-- name: change
-- One more of them.
insert into day_change
  (merchant_id, store_id, business_date, change_no, action, reason, changed_at, api_key_id, totals)
select $1, $2, $3, count(*) + 1, $4, $5, $6, $7, $8::jsonb
from day_change where merchant_id = $1 and store_id = $2 and business_date = $3;
