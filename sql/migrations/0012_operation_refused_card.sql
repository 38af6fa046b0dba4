-- migrate: no-transaction
-- What was refused to a card, for its record. What was accepted is found by the card's legs.
-- It waits for old transactions and for no table lock: the runner lifts the timeout.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists operation_refused_card
  on operation (merchant_id, card_id, recorded_at, operation_id) where status = 'refused';
