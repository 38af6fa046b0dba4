-- The ledger's calls, and finding the card behind an id before its command is queued.

-- name: read
-- Everything a batch is decided on.
select * from read_v1($1, $2, $3, $4, $5, $6, $7, $8);

-- name: read_many
-- The same for several merchants, in their order.
select * from read_many_v1($1::read_arguments_v1[]);

-- name: post
-- The only writer; returns the components that missed.
select post_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: post_many
-- Several merchants' posts, each in a transaction of its own; see post_many_v2.
call post_many_v2($1::post_arguments_v2[], null);

-- name: locate_card
-- A card's number never changes, so it may be read ahead of the batch.
select card_number, null::text as store_id from card where merchant_id = $1 and card_id = $2;

-- name: locate_redemption
-- The card a redemption is of and the store it happened at; neither ever changes.
select c.card_number, r.store_id from redemption r
join card c on c.merchant_id = r.merchant_id and c.card_id = r.card_id
where r.merchant_id = $1 and r.redemption_id = $2;

-- name: locate_key
-- What an idempotency key led to, on which card and at which store.
select k.operation_id, c.card_number, o.store_id
from idempotency_key k
left join operation o on o.merchant_id = k.merchant_id and o.operation_id = k.operation_id
left join card c on c.merchant_id = o.merchant_id and c.card_id = o.card_id
where k.merchant_id = $1 and k.key_hash = $2;
