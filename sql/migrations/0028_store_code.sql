-- migrate: no-transaction
-- One store of a code. It waits for old transactions and for no table lock: the runner lifts the timeout.
-- squawk-ignore require-lock-timeout
create unique index concurrently if not exists store_code on store (merchant_id, code);
