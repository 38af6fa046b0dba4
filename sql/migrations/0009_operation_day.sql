-- migrate: no-transaction
-- The operations of a store's business day.
create index concurrently if not exists operation_day on operation (merchant_id, store_id, business_date)
  where store_id is not null;
