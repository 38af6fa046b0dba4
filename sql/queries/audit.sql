-- The audit trail.

-- name: append
-- An entry, numbered and sealed with the transaction.
select audit_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb, $12::text::jsonb);

-- name: page
-- Entries older than an id, newest first; of one object or actor, or of one kind of action, where it is named.
select audit_entry_id as id, action, object_id, actor_kind, actor_id, session_id, address, request_id, reason,
  before::text as before, after::text as after, recorded_at
from audit_entry
where merchant_id = $1 and audit_entry_id < $2 and ($3::text is null or object_id = $3)
  and ($4::text is null or actor_id = $4) and ($5::text is null or action = $5)
order by audit_entry_id desc limit $6;
