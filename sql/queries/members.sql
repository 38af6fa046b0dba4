-- Members and the cards that are theirs. $1 is the merchant.

-- name: insert
-- A new member; nothing when somebody has the external id or the phone.
insert into member (merchant_id, member_id, external_id, phone_index, masked_phone, created_at, phone_sealed, name_sealed,
  masked_name, key_no)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict do nothing
returning member_id as id, external_id, masked_phone, masked_name, status, version, created_at;

-- name: by_id
-- One member.
select member_id as id, external_id, masked_phone, masked_name, status, version, created_at
from member where merchant_id = $1 and member_id = $2;

-- name: holders
-- Who has this external id, and who this phone: as of one moment, or of two asked for by both at once one would be missing.
select 'external_id' as known_by, member_id as id, external_id, masked_phone, masked_name, status, version, created_at
from member where merchant_id = $1 and external_id = $2
union all
select 'phone', member_id, external_id, masked_phone, masked_name, status, version, created_at
from member where merchant_id = $1 and phone_index = $3;

-- name: page
-- Members older than an id, newest first.
select member_id as id, external_id, masked_phone, masked_name, status, version, created_at
from member where merchant_id = $1 and member_id < $2
order by member_id desc limit $3;

-- name: change_phone
-- Another phone.
update member set phone_index = $3, masked_phone = $4, phone_sealed = $5, key_no = $6, version = version + 1
where merchant_id = $1 and member_id = $2
returning member_id as id, external_id, masked_phone, masked_name, status, version, created_at;

-- name: sign_out
-- Every token that was issued is over.
update member set token_generation = token_generation + 1
where merchant_id = $1 and member_id = $2
returning member_id as id, external_id, masked_phone, masked_name, status, version, created_at;

-- name: count
-- How many cards are a member's now.
select count(*) from card_binding where merchant_id = $1 and member_id = $2 and unbound_at is null;

-- name: card_of_id
-- A card that can be bound by its id: any.
select card_id from card where merchant_id = $1 and card_id = $2;

-- name: card_of_number
-- A card that can be bound by its number: whoever has the number of one that isn't sold yet is told nothing.
select card_id from card where merchant_id = $1 and card_number = $2 and status <> 'created';

-- name: bind
-- The card's next binding; nothing when it is somebody's, or was made somebody's just now.
insert into card_binding (merchant_id, card_id, binding_no, member_id, bound_version, bound_at, bound_by)
select $1, c.card_id, 1 + coalesce((
    select max(b.binding_no) from card_binding b where b.merchant_id = $1 and b.card_id = $2), 0),
  $3, c.version, $4, $5
from card c where c.merchant_id = $1 and c.card_id = $2
on conflict do nothing
returning binding_no;

-- name: holder
-- Whose a card is now.
select member_id from card_binding where merchant_id = $1 and card_id = $2 and unbound_at is null;

-- name: binding
-- One binding of a member's, over or not, and whether the card is in their name.
select b.card_id, b.member_id, b.binding_no, b.bound_at, b.unbound_at, v.rules ->> 'holder' = 'named' as is_named
from card_binding b
join card c on c.merchant_id = b.merchant_id and c.card_id = b.card_id
join template_version v on v.merchant_id = c.merchant_id and v.template_id = c.template_id
  and v.version = c.template_version
where b.merchant_id = $1 and b.card_id = $2 and b.binding_no = $3 and b.member_id = $4;

-- name: unbind
-- The end of a binding, once.
update card_binding set unbound_at = $4, unbound_by = $5
where merchant_id = $1 and card_id = $2 and binding_no = $3 and unbound_at is null;

-- name: cards
-- The cards that are a member's now, in the order they became theirs; the first columns are those of the ledger's card.
select c.card_id, c.card_number, c.template_id, c.template_version, c.currency, c.status, c.version, c.principal, c.bonus,
  c.activated_at, c.expires_at, c.expires_on, c.last_operation_at, c.created_at, b.binding_no, b.bound_at
from card_binding b
join card c on c.merchant_id = b.merchant_id and c.card_id = b.card_id
where b.merchant_id = $1 and b.member_id = $2 and b.unbound_at is null
order by b.bound_at, b.card_id;

-- name: lots
-- The lots of several cards that hold value.
select card_id, lot_id, account, amount, remaining, expires_at, expires_on
from lot where merchant_id = $1 and card_id = any ($2::text[]) and remaining > 0
order by card_id, lot_id;
