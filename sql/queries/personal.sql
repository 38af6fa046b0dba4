-- What is personal of members. $1 is the merchant.

-- name: held
-- A member with what is sealed of them; nobody changes them until the transaction ends.
select member_id, external_id, status, phone_index, masked_phone, masked_name, phone_sealed, name_sealed, key_no, version,
  created_at
from member where merchant_id = $1 and member_id = $2
for no key update;

-- name: is_known
-- Whether there is such a member.
select member_id from member where merchant_id = $1 and member_id = $2;

-- name: set_name
-- Another name, or none.
update member set name_sealed = $3, masked_name = $4, key_no = $5, version = version + 1
where merchant_id = $1 and member_id = $2;

-- name: unmasked_since
-- How often somebody looked at what is personal within so many seconds.
select count(*) from audit_entry
where merchant_id = $1 and actor_id = $2 and action in ('member.unmasked', 'member.subject_access')
  and recorded_at > clock_timestamp() - make_interval(secs => $3);

-- name: bindings
-- Which cards were a member's, from when to when.
select card_id, member_id, binding_no, bound_at, unbound_at
from card_binding where merchant_id = $1 and member_id = $2
order by bound_at, card_id, binding_no;

-- name: disclosures
-- When somebody looked at what is personal of a member, and what for; what the law may want kept from them isn't told.
select recorded_at as at, actor_kind as by, split_part(reason, ':', 1) as purpose
from audit_entry where merchant_id = $1 and object_id = $2 and action = 'member.unmasked' and reason !~ '^(legal_duty|dispute):'
order by audit_entry_id;

-- name: ties
-- What keeps a member's data: cards of theirs with value on them, cards in their name that aren't over, the last use of a
-- card that was in their name, holds.
select
  coalesce(array_agg(c.card_id order by c.card_id)
    filter (where b.unbound_at is null and c.principal + c.bonus > 0), '{}') as cards_with_value,
  coalesce(bool_or(b.unbound_at is null and v.rules ->> 'holder' = 'named'
    and c.status not in ('closed', 'destroyed')), false) as has_named_card,
  max(c.last_operation_at) filter (where v.rules ->> 'holder' = 'named') as registered_at,
  exists (
    select from legal_hold h where h.merchant_id = $1 and h.member_id = $2 and h.released_at is null) as is_held
from card_binding b
join card c on c.merchant_id = b.merchant_id and c.card_id = b.card_id
join template_version v on v.merchant_id = c.merchant_id and v.template_id = c.template_id
  and v.version = c.template_version
where b.merchant_id = $1 and b.member_id = $2;

-- name: hold_cards
-- Nothing moves on a member's cards until the transaction ends.
select c.card_id from card c
join card_binding b on b.merchant_id = c.merchant_id and b.card_id = c.card_id and b.unbound_at is null
where b.merchant_id = $1 and b.member_id = $2 order by c.card_id for no key update of c;

-- name: let_go
-- The cards that aren't in a member's name are nobody's.
update card_binding b set unbound_at = $3, unbound_by = $4
from card c, template_version v
where b.merchant_id = $1 and b.member_id = $2 and b.unbound_at is null
  and c.merchant_id = b.merchant_id and c.card_id = b.card_id
  and v.merchant_id = c.merchant_id and v.template_id = c.template_id and v.version = c.template_version
  and v.rules ->> 'holder' <> 'named';

-- name: restrict
-- Stored, and no more than that: found by nothing but our own id, and their tokens are over.
update member set status = 'restricted', external_id = null, phone_index = null, masked_phone = null, masked_name = null,
  token_generation = token_generation + 1, version = version + 1
where merchant_id = $1 and member_id = $2 and status = 'active';

-- name: erase
-- Nothing is left but the id, which the ledger knows.
update member set status = 'erased', external_id = null, phone_index = null, masked_phone = null, masked_name = null,
  phone_sealed = null, name_sealed = null, key_no = null, token_generation = token_generation + 1,
  version = version + 1
where merchant_id = $1 and member_id = $2 and status <> 'erased';

-- name: place_hold
-- A hold.
insert into legal_hold (merchant_id, legal_hold_id, member_id, reason, placed_by, placed_at)
values ($1, $2, $3, $4, $5, $6);

-- name: hold
-- One hold.
select legal_hold_id as id, member_id, reason, placed_by, placed_at, released_by, released_at
from legal_hold where merchant_id = $1 and member_id = $2 and legal_hold_id = $3;

-- name: holds
-- A member's holds older than an id, newest first.
select legal_hold_id as id, member_id, reason, placed_by, placed_at, released_by, released_at
from legal_hold where merchant_id = $1 and member_id = $2 and legal_hold_id < $3
order by legal_hold_id desc limit $4;

-- name: release_hold
-- The end of a hold, once.
update legal_hold set released_by = $4, released_at = $5
where merchant_id = $1 and member_id = $2 and legal_hold_id = $3 and released_at is null;

-- name: of_status
-- Who is restricted, or erased, after an id.
select member_id from member
where merchant_id = $1 and status = $2 and member_id > $3 order by member_id limit 500;

-- name: sealed
-- Who has something sealed under another number than the current one, after an id.
select member_id, phone_sealed, name_sealed, key_no, version from member
where merchant_id = $1 and member_id > $2 and key_no < $3 order by member_id limit $4;

-- name: reseal
-- What is sealed under a new number, of all who stayed as they were.
update member m set phone_sealed = s.phone_sealed, name_sealed = s.name_sealed, key_no = $2
from unnest($3::text[], $4::integer[], $5::integer[], $6::bytea[], $7::bytea[])
  as s (member_id, key_no, version, phone_sealed, name_sealed)
where m.merchant_id = $1 and m.member_id = s.member_id and m.key_no = s.key_no and m.version = s.version;

-- name: newest_key_no
-- The highest number that something is sealed under.
select coalesce(max(key_no), 0) from member where merchant_id = $1;

-- name: older_than
-- How many have something sealed under a number below this one.
select count(*) from member where merchant_id = $1 and key_no < $2;

-- name: readable
-- All that is sealed, after an id, with the index that must be that of the phone.
select member_id, phone_sealed, name_sealed, phone_index, key_no from member
where merchant_id = $1 and member_id > $2 and key_no is not null order by member_id limit $3;
