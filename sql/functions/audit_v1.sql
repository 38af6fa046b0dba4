-- Put an entry into the audit trail of the tenant that is set, numbered and sealed in the transaction of what it tells of:
-- both are there or none. Returns its number.
create or replace function audit_v1(
  p_merchant text, p_id text, p_action text, p_object text, p_actor_kind text, p_actor text, p_session text,
  p_address text, p_request text, p_reason text, p_before jsonb, p_after jsonb)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
as $$
begin
  perform chain_open_v1(p_merchant);
  insert into audit_entry (merchant_id, audit_entry_id, action, object_id, actor_kind, actor_id, session_id, address,
      request_id, reason, before, after, recorded_at)
    values (p_merchant, p_id, p_action, p_object, p_actor_kind, p_actor, p_session, p_address, p_request, p_reason,
      p_before, p_after, clock_timestamp());
  return chain_append_v1(p_merchant, array[p_id]);
end
$$;

revoke all on function audit_v1 (text, text, text, text, text, text, text, text, text, text, jsonb, jsonb) from public;
grant execute on function audit_v1 (text, text, text, text, text, text, text, text, text, text, jsonb, jsonb)
  to kafang_app;
