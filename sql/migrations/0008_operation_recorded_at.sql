-- migrate: no-transaction
-- The ledger in the order of time: for exports, which walk it, and reports of a period.
-- It waits for old transactions and for no table lock: the runner lifts the timeout.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists operation_recorded_at
  on operation (merchant_id, recorded_at, operation_id);
