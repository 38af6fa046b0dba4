-- What a till prints.

-- name: by_operation
-- One operation with its place, its card as it was right after it, and its basket. The leg's version is reckoned inside
-- (the limit keeps it there): row-level security lets no sum, which could fail, into the search of an index.
select o.operation_id, o.kind, o.status = 'accepted' as accepted, m.name as merchant_name, o.store_id,
  s.name as store_name, coalesce(s.time_zone, m.time_zone) as time_zone, o.legal_entity, o.terminal_id, o.operator,
  o.shift, o.receipt_no, o.request_no, o.business_date, o.recorded_at, o.amount,
  coalesce(o.currency, m.currency) as currency, o.target_id as undoes, c.card_number, c.expires_on,
  g.principal_delta, g.bonus_delta, g.principal, g.bonus, r.lines::text as lines, o.details::text as details
from (
  select *, coalesce(decided_version, 0) + 1 as leg_version from operation
  where merchant_id = $1 and operation_id = $2
  limit 1) o
join merchant m on m.merchant_id = o.merchant_id
left join store s on s.merchant_id = o.merchant_id and s.store_id = o.store_id
left join card c on c.merchant_id = o.merchant_id and c.card_id = o.card_id
left join leg g on g.merchant_id = o.merchant_id and g.card_id = o.card_id and g.operation_id = o.operation_id
  and g.version = o.leg_version
left join redemption r on r.merchant_id = o.merchant_id and r.redemption_id = o.operation_id;

-- name: last_of_terminal
-- The id of what a terminal ($3) of a store ($2) did last; at one instant (a test clock stands still) the later id.
select operation_id from operation
where merchant_id = $1 and store_id = $2 and terminal_id = $3
order by recorded_at desc, substr(operation_id, 5) desc
limit 1;
