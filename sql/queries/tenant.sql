-- The tenant of a transaction, and what is configured for it.

-- name: set
-- First statement of every transaction.
select set_config('kafang.merchant_id', $1, true);

-- name: merchant
-- The tenant itself, with its epoch and clock.
select merchant_id, mode, status, currency, time_zone, epoch, test_now, clock_timestamp() as clock
from merchant where merchant_id = $1;

-- name: terms
-- The tenant with what is configured for it, in one round trip and one snapshot; see terms_v5.
select * from terms_v5($1, $2, $3, $4, $5);

-- name: token_generation
-- Under which generation a member's tokens are good now; nothing when there is no such member.
select token_generation from member where merchant_id = $1 and member_id = $2;

-- name: raise_epoch
-- Whoever remembers what is configured reads it again; whoever changes it waits here for who does so before. Also tells
-- the tenant's mode.
update merchant set epoch = epoch + 1 where merchant_id = $1 returning mode;

-- name: is_platform
-- Whether it is the platform's own tenant.
select exists (select from platform where platform_id = $1);

-- name: use_session
-- Somebody uses a session: nothing when it is over, or nobody used it for so many seconds.
update user_session set last_used_at = clock_timestamp()
where merchant_id = $1 and secret_hash = $2 and ended_at is null and expires_at > clock_timestamp()
  and last_used_at > clock_timestamp() - make_interval(secs => $3)
returning session_id;

-- name: visible_after
-- After which version a card's history is this member's to see: all of it, unless it was another's before. Nothing when
-- the card isn't theirs.
select case when exists (
    select from card_binding o where o.merchant_id = $1 and o.card_id = $2 and o.member_id <> $3)
  then b.bound_version else 0 end as version
from card_binding b where b.merchant_id = $1 and b.card_id = $2 and b.member_id = $3 and b.unbound_at is null;

-- name: grants
-- The roles somebody has, each with the stores that it is for and what their contracts allow; see roles_v1.
select roles_v1($1, $2);
