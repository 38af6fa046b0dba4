-- migrate: no-transaction
-- What a terminal did last, for a till that lost its memory.
-- It waits for old transactions and for no table lock: the runner lifts the timeout.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists operation_terminal
  on operation (merchant_id, store_id, terminal_id, recorded_at)
  where terminal_id is not null;
