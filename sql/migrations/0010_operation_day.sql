-- migrate: no-transaction
-- The operations of a store's business day. The runner bounds the wait for its lock; a file without transaction holds
-- this one statement alone.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists operation_day on operation (merchant_id, store_id, business_date)
  where store_id is not null;
