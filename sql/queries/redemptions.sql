-- Redemptions as a till asks after them.

-- name: by_id
-- One captured redemption, with the balances its own leg left.
select r.redemption_id, r.status, r.request_no, r.store_id, o.business_date, o.recorded_at, r.currency, r.amount,
  r.refunded, r.lines::text as lines,
  (select coalesce(json_agg(json_build_object('card_id', p.card_id, 'account', p.from_account, 'lot_id', p.lot_id,
     'value', p.amount) order by p.posting_no), '[]')::text
   from posting p where p.merchant_id = r.merchant_id and p.operation_id = r.redemption_id) as allocations,
  r.card_id, c.card_number, g.version, g.principal, g.bonus, null::text as details
from redemption r
join operation o on o.merchant_id = r.merchant_id and o.operation_id = r.redemption_id
join card c on c.merchant_id = r.merchant_id and c.card_id = r.card_id
join leg g on g.merchant_id = r.merchant_id and g.card_id = r.card_id and g.version = o.decided_version + 1
where r.merchant_id = $1 and r.redemption_id = $2;

-- name: by_request_no
-- The captured redemption with a request number of a store: at most one.
select r.redemption_id, r.status, r.request_no, r.store_id, o.business_date, o.recorded_at, r.currency, r.amount,
  r.refunded, r.lines::text as lines,
  (select coalesce(json_agg(json_build_object('card_id', p.card_id, 'account', p.from_account, 'lot_id', p.lot_id,
     'value', p.amount) order by p.posting_no), '[]')::text
   from posting p where p.merchant_id = r.merchant_id and p.operation_id = r.redemption_id) as allocations,
  r.card_id, c.card_number, g.version, g.principal, g.bonus, null::text as details
from redemption r
join operation o on o.merchant_id = r.merchant_id and o.operation_id = r.redemption_id
join card c on c.merchant_id = r.merchant_id and c.card_id = r.card_id
join leg g on g.merchant_id = r.merchant_id and g.card_id = r.card_id and g.version = o.decided_version + 1
where r.merchant_id = $1 and r.store_id = $2 and r.request_no = $3;

-- name: refused
-- Refused attempts with a request number of a store, oldest first.
select o.operation_id as redemption_id, o.status, o.request_no, o.store_id, o.business_date, o.recorded_at, o.currency,
  o.amount, 0::bigint as refunded, '[]' as lines, '[]' as allocations, o.card_id, null::text as card_number,
  null::bigint as version, null::bigint as principal, null::bigint as bonus, o.details::text as details
from operation o
where o.merchant_id = $1 and o.store_id = $2 and o.request_no = $3 and o.status = 'refused' and o.kind = 'redeem'
order by o.operation_id limit 100;

-- name: refused_by_id
-- One refused attempt.
select o.operation_id as redemption_id, o.status, o.request_no, o.store_id, o.business_date, o.recorded_at, o.currency,
  o.amount, 0::bigint as refunded, '[]' as lines, '[]' as allocations, o.card_id, null::text as card_number,
  null::bigint as version, null::bigint as principal, null::bigint as bonus, o.details::text as details
from operation o
where o.merchant_id = $1 and o.operation_id = $2 and o.status = 'refused' and o.kind = 'redeem';
