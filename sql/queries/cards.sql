-- Cards as they are shown.

-- name: by_id
-- One card; the columns are those of the ledger's card, in order.
select card_id, card_number, template_id, template_version, currency, status, version, principal, bonus, activated_at,
  expires_at, expires_on, last_operation_at, created_at
from card where merchant_id = $1 and card_id = $2;

-- name: by_number
-- One card by its number.
select card_id, card_number, template_id, template_version, currency, status, version, principal, bonus, activated_at,
  expires_at, expires_on, last_operation_at, created_at
from card where merchant_id = $1 and card_number = $2;

-- name: lots
-- Lots of a card that hold value.
select lot_id, account, amount, remaining, expires_at, expires_on
from lot where merchant_id = $1 and card_id = $2 and remaining > 0
order by lot_id;

-- name: statement
-- Legs of a card after a version, oldest first.
select g.version, g.operation_id, o.kind, o.recorded_at, o.business_date, o.store_id, o.receipt_no,
  g.principal_delta, g.bonus_delta, g.principal, g.bonus, g.status
from leg g
join operation o on o.merchant_id = g.merchant_id and o.operation_id = g.operation_id
where g.merchant_id = $1 and g.card_id = $2 and g.version > $3
order by g.version limit $4;
