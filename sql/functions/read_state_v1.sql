-- What read_v1 answers, as of one instant.
--
-- It is stable, so all its statements see the snapshot of the statement that calls it: a lot can't be older than its
-- card's version, nor a redemption newer. What only refunds, reversals and issues need is read only for them.
--
-- Every table is reached by a whole key, whatever the planner believes of its size: a plan made while a table was empty
-- must not walk a merchant's rows for ever (rule 13). That is why joins are lateral with `offset 0`, or name the keys again.
create or replace function read_state_v1(
  p_merchant text, p_card_numbers text[], p_keys bytea[],
  p_request_stores text[], p_request_nos text[], p_operations text[], p_templates text[],
  out epoch bigint, out merchant_status text, out test_now timestamptz, out clock timestamptz,
  out cards card_row_v1[], out lots lot_row_v1[], out keys key_row_v1[], out request_nos request_no_row_v1[],
  out operations operation_row_v1[], out redemptions redemption_row_v1[], out postings posting_row_v1[],
  out counters counter_row_v1[])
language plpgsql
stable
as $$
begin
  with found as materialized (
    select c.* from card c where c.merchant_id = p_merchant and c.card_number = any (p_card_numbers)
  )
  select m.epoch, m.status, m.test_now, clock_timestamp(),
    array(select row(f.card_id, f.card_number, f.template_id, f.template_version, f.currency, f.status, f.version,
            f.principal, f.bonus, f.activated_at, f.expires_at, f.expires_on, f.last_operation_at,
            f.created_at)::card_row_v1
          from found f),
    array(select row(l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at,
            l.expires_on)::lot_row_v1
          from found f cross join lateral (
            select l.* from lot l where l.merchant_id = p_merchant and l.card_id = f.card_id and l.remaining > 0 offset 0) l),
    array(select row(k.key_hash, k.fingerprint, k.outcome, k.operation_id, k.http_status, k.answer,
            k.created_at)::key_row_v1
          from idempotency_key k where k.merchant_id = p_merchant and k.key_hash = any (p_keys)),
    array(select row(r.store_id, r.request_no, r.redemption_id)::request_no_row_v1
          from unnest(p_request_stores, p_request_nos) q (store_id, request_no) cross join lateral (
            select r.* from redemption r
            where r.merchant_id = p_merchant and r.store_id = q.store_id and r.request_no = q.request_no offset 0) r)
    into epoch, merchant_status, test_now, clock, cards, lots, keys, request_nos
    from merchant m where m.merchant_id = p_merchant;

  if cardinality(p_operations) > 0 then
    select
      array(select row(o.operation_id, o.kind, o.status, o.card_id, o.store_id, o.amount, coalesce(o.api_key_id, o.user_id),
              (select u.operation_id from operation u where u.merchant_id = p_merchant and u.target_id = o.operation_id
                 and u.status = 'accepted' and u.kind = 'reversal' limit 1))::operation_row_v1
            from operation o where o.merchant_id = p_merchant and o.operation_id = any (p_operations)),
      array(select row(r.redemption_id, r.card_id, r.store_id, r.request_no, r.status, r.version, r.currency, r.amount,
              r.refunded, r.lines, r.refunded_lines, o.decided_at, o.business_date)::redemption_row_v1
            from redemption r
            join operation o on o.merchant_id = p_merchant and o.operation_id = r.redemption_id
              and o.operation_id = any (p_operations)
            where r.merchant_id = p_merchant and r.redemption_id = any (p_operations)),
      array(select row(p.operation_id, p.posting_no, p.from_account, p.to_account, p.amount, p.lot_id)::posting_row_v1
            from posting p
            where p.merchant_id = p_merchant and p.operation_id = any (p_operations)
            order by p.operation_id, p.posting_no),
      -- Lots of those operations that are empty, for what goes back into them.
      lots || array(
            select row(l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at,
              l.expires_on)::lot_row_v1
            from lot l
            where l.merchant_id = p_merchant
              and l.card_id = any (array(select p.card_id from posting p
                where p.merchant_id = p_merchant and p.operation_id = any (p_operations)))
              and l.remaining = 0 and (l.card_id, l.lot_id) in (
              select p.card_id, p.lot_id from posting p
              where p.merchant_id = p_merchant and p.operation_id = any (p_operations)))
      into operations, redemptions, postings, lots;
  end if;
  if cardinality(p_templates) > 0 then
    counters := array(select row(t.template_id, t.counter, t.used, t.cap)::counter_row_v1
      from template_counter t where t.merchant_id = p_merchant and t.template_id = any (p_templates));
  end if;
end
$$;

revoke all on function read_state_v1 (text, text[], bytea[], text[], text[], text[], text[]) from public;
grant execute on function read_state_v1 (text, text[], bytea[], text[], text[], text[], text[]) to kafang_app;
