-- The business days of a store. $1 is the merchant, $2 the store, $3 the date.

-- name: be_brief
-- While somebody waits to be alone, the store's posts wait behind: much less than the second they may wait for a lock.
set local lock_timeout = '300ms';

-- name: hold
-- Alone with the store's days until the end of the transaction: posts of the store share this lock (post_v2).
select pg_advisory_xact_lock(hashtextextended($1 || $2, 0));

-- name: place
-- The store, and through which day it is closed.
select store_id, time_zone, day_cutoff, closed_through from store where merchant_id = $1 and store_id = $2;

-- name: close_through
-- The days up to $3 are closed, and no others; every worker reads it with the epoch.
with store as (
  update store set closed_through = $3 where merchant_id = $1 and store_id = $2)
update merchant set epoch = epoch + 1 where merchant_id = $1;

-- name: lines
-- What a day holds, by the finest lines. What undoes another operation is told by what it undoes, and counts for the
-- terminal of that where it names none itself. Refused attempts have no amount: they may be anything.
select coalesce(o.terminal_id, t.terminal_id) as terminal_id, coalesce(o.operator, t.operator) as operator,
  coalesce(o.shift, t.shift) as shift, o.kind, t.kind as undoes,
  coalesce(o.details ->> 'tender', t.details ->> 'tender') as tender, o.status = 'accepted' as accepted,
  count(*) as operations, coalesce(sum(o.amount) filter (where o.status = 'accepted'), 0)::bigint as amount
from operation o
left join lateral (
  -- In the order of the key, so that it is reached by the whole key also under a plan made while the table was empty.
  select u.* from operation u
  where u.merchant_id = $1 and u.operation_id = o.target_id
  order by u.merchant_id, u.operation_id limit 1) t on true
where o.merchant_id = $1 and o.store_id = $2 and o.business_date = $3
group by 1, 2, 3, 4, 5, 6, 7;

-- name: last_change_no
-- How often the day was closed and opened.
select count(*) from day_change where merchant_id = $1 and store_id = $2 and business_date = $3;

-- name: changes
-- The closings and reopenings of a day.
select change_no, action, reason, changed_at, api_key_id as changed_by, totals::text as totals
from day_change where merchant_id = $1 and store_id = $2 and business_date = $3
order by change_no;

-- name: change
-- One more of them. The column api_key_id holds who did it, also where that is a person.
insert into day_change
  (merchant_id, store_id, business_date, change_no, action, reason, changed_at, api_key_id, totals)
select $1, $2, $3, count(*) + 1, $4, $5, $6, $7, $8::jsonb
from day_change where merchant_id = $1 and store_id = $2 and business_date = $3;
