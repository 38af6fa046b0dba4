-- migrate: no-transaction
-- All cards that ever were a member's, for whoever asks what is known of them.
-- It waits for old transactions and for no table lock: the runner lifts the timeout.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists card_binding_ever on card_binding (merchant_id, member_id);
