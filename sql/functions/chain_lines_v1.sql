-- What the chain seals of these operations and audit entries: a line of JSON for each, in the order given, all that is
-- known of it. One that isn't there has no line, and so another digest.
--
-- Whoever reads a bundle recomputes the digest of these very bytes: the form is part of `segment.format`. A later one is
-- a new function. Each row is reached by its whole key, also where somebody plans for whole tables.
create or replace function chain_lines_v1(p_merchant text, p_entries text[])
returns text
language plpgsql
stable
set timezone = 'UTC'
set plan_cache_mode = 'force_generic_plan'
set enable_nestloop = 'on'
set enable_hashjoin = 'off'
set enable_mergejoin = 'off'
set enable_seqscan = 'off'
set enable_bitmapscan = 'off'
set jit = 'off'
as $$
begin
  return (
    select string_agg(coalesce(o.line, a.line), E'\n' order by e.n)
    from unnest(p_entries) with ordinality e (id, n)
    left join lateral (
      select row_to_json(x)::text as line from (
        select o.operation_id, o.kind, o.status, o.card_id, o.target_id, o.amount, o.currency, o.store_id,
          o.legal_entity, o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, o.business_date,
          o.occurred_at, o.recorded_at, o.decided_at, o.decided_version, o.device_id, o.device_seq, o.offline,
          o.api_key_id, o.user_id, o.session_id, o.details,
          (select json_agg(json_build_array(p.posting_no, p.from_account, p.to_account, p.unit, p.amount, p.card_id,
              p.lot_id, p.legal_entity) order by p.posting_no)
            from posting p where p.merchant_id = p_merchant and p.operation_id = o.operation_id) as postings,
          (select json_agg(json_build_array(g.card_id, g.version, g.status, g.principal_delta, g.bonus_delta,
              g.principal, g.bonus))
            from leg g where g.merchant_id = p_merchant and g.card_id = o.card_id and g.version = o.leg_version
              and g.operation_id = o.operation_id) as legs
        from (
          select *, coalesce(decided_version, 0) + 1 as leg_version from operation
          where merchant_id = p_merchant and operation_id = e.id offset 0) o) x
      limit 1) o on true
    left join lateral (
      select row_to_json(x)::text as line from (
        select a.audit_entry_id, a.action, a.object_id, a.actor_kind, a.actor_id, a.session_id, a.address,
          a.request_id, a.reason, a.before, a.after, a.recorded_at
        from audit_entry a where a.merchant_id = p_merchant and a.audit_entry_id = e.id) x
      limit 1) a on true);
end
$$;

revoke all on function chain_lines_v1 (text, text[]) from public;
grant execute on function chain_lines_v1 (text, text[]) to kafang_app;
