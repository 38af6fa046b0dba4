-- migrate: no-transaction
-- How often somebody looked at what is personal, which is limited.
-- It waits for old transactions and for no table lock: the runner lifts the timeout.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists audit_entry_unmasked
  on audit_entry (merchant_id, actor_id, recorded_at) where action in ('member.unmasked', 'member.subject_access');
