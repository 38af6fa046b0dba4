-- migrate: no-transaction
-- The ledger in the order of time: for exports, which walk it, and reports of a period.
-- Always true, the condition keeps the index from whatever looks up an operation by its id: under a plan made while the
-- table was empty, any index that begins with the merchant looks as good as the key (rule 13).
-- It waits for old transactions and for no table lock: the runner lifts the timeout.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists operation_recorded_at
  on operation (merchant_id, recorded_at, operation_id) where recorded_at is not null;
