-- The tenant of a transaction, and what is configured for it.

-- name: set
-- First statement of every transaction.
select set_config('kafang.merchant_id', $1, true);

-- name: merchant
-- The tenant itself, with its epoch and clock.
select merchant_id, mode, status, currency, time_zone, epoch, test_now, clock_timestamp() as clock
from merchant where merchant_id = $1;

-- name: terms
-- The tenant with what is configured for it, in one round trip and one snapshot; see terms_v2.
select * from terms_v2($1, $2, $3, $4, $5);
