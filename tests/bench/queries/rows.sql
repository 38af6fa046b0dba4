-- Every row of a card ($1 merchant, $2 card), to compare what two ways of redeeming left.

-- name: card
select * from card where merchant_id = $1 and card_id = $2;

-- name: lot
select * from lot where merchant_id = $1 and card_id = $2 order by lot_id;

-- name: operation
select o.* from leg g join operation o using (merchant_id, operation_id)
where g.merchant_id = $1 and g.card_id = $2 order by g.version desc;

-- name: posting
select p.* from leg g join posting p using (merchant_id, operation_id)
where g.merchant_id = $1 and g.card_id = $2 order by g.version desc, p.posting_no;

-- name: leg
select * from leg where merchant_id = $1 and card_id = $2 order by version desc;

-- name: redemption
select r.* from leg g join redemption r on r.merchant_id = g.merchant_id and r.redemption_id = g.operation_id
where g.merchant_id = $1 and g.card_id = $2 order by g.version desc;

-- name: idempotency_key
select k.* from leg g join idempotency_key k using (merchant_id, operation_id)
where g.merchant_id = $1 and g.card_id = $2 order by g.version desc;
