-- The only writer of value and card states: one call, one commit for a whole batch of one merchant.
--
-- It is mechanical and decides nothing. It sets the tenant, then locks and checks every versioned row the batch was
-- decided on; a row that moved or is busy makes its whole component a miss, and only components without a miss are
-- applied: never half of one. Each arm writes one final image per row and counts its rows; a count that differs fails
-- the whole call inside the transaction. Locks are taken in one order everywhere (cards, redemptions, days of stores,
-- keys, request numbers, counters, each by id), and cards are never waited for here, so there is no deadlock.
--
-- A store's day is shared by its posts and held alone by whoever closes it: an operation is of a day that is open when it
-- commits.
--
-- Tables are reached by whole keys even under a plan that was made while they were empty: hence the keys named a second
-- time in each arm (rule 13).
--
-- Returns the components that missed. Fails as a whole, with nothing written: by the unique index when a key, a request
-- number or a card number is taken, with KF003 when a row count differs from the expected one, with KF004 when a
-- counter would pass its cap, with KF005 when a business date was closed meanwhile.
create or replace function post_v2(
  p_merchant text, p_guards guard_v1[], p_keys key_v1[], p_card_inserts card_insert_v1[], p_cards card_image_v1[],
  p_lot_inserts lot_insert_v1[], p_lots lot_image_v1[], p_operations operation_v2[], p_postings posting_v1[],
  p_legs leg_v1[], p_redemption_inserts redemption_insert_v1[], p_redemptions redemption_image_v1[],
  p_counters counter_delta_v1[])
returns integer[]
language plpgsql
as $$
declare
  v_missed integer[] := '{}';
  v_held text[];
  v_rows bigint;
  v_expected bigint;
begin
  perform set_config('kafang.merchant_id', p_merchant, true);

  -- 1. Lock and check. Fewer rows than guards: find the components they belong to, and leave all of their rows out.
  select coalesce(array_agg(h.id), '{}') into v_held from (
    select c.card_id as id from card c
      join unnest(p_guards) g on g.kind = 'card' and g.id = c.card_id and g.version = c.version
      where c.merchant_id = p_merchant and c.card_id = any (array(select g.id from unnest(p_guards) g))
      order by c.card_id
      for no key update of c skip locked) h;
  if cardinality(p_redemptions) > 0 then
    select v_held || coalesce(array_agg(h.id), '{}') into v_held from (
      select r.redemption_id as id from redemption r
        join unnest(p_guards) g on g.kind = 'redemption' and g.id = r.redemption_id and g.version = r.version
        where r.merchant_id = p_merchant and r.redemption_id = any (array(select g.id from unnest(p_guards) g))
        order by r.redemption_id
        for no key update of r skip locked) h;
  end if;
  if cardinality(v_held) < cardinality(p_guards) then
    select array_agg(distinct g.component) into v_missed from unnest(p_guards) g where g.id <> all (v_held);
    p_keys := array(select r from unnest(p_keys) r where r.component <> all (v_missed));
    p_card_inserts := array(select r from unnest(p_card_inserts) r where r.component <> all (v_missed));
    p_cards := array(select r from unnest(p_cards) r where r.component <> all (v_missed));
    p_lot_inserts := array(select r from unnest(p_lot_inserts) r where r.component <> all (v_missed));
    p_lots := array(select r from unnest(p_lots) r where r.component <> all (v_missed));
    p_operations := array(select r from unnest(p_operations) r where r.component <> all (v_missed));
    p_postings := array(select r from unnest(p_postings) r where r.component <> all (v_missed));
    p_legs := array(select r from unnest(p_legs) r where r.component <> all (v_missed));
    p_redemption_inserts := array(select r from unnest(p_redemption_inserts) r where r.component <> all (v_missed));
    p_redemptions := array(select r from unnest(p_redemptions) r where r.component <> all (v_missed));
    p_counters := array(select r from unnest(p_counters) r where r.component <> all (v_missed));
  end if;

  -- Nobody closes a day of these stores from here to the commit; the insert below sees what was closed before.
  perform pg_advisory_xact_lock_shared(s.day) from (
    select distinct hashtextextended(p_merchant || o.store_id, 0) as day
      from unnest(p_operations) o where o.store_id is not null order by 1) s;

  -- 2. Keys first of all writes: a taken key fails the batch before anything else is done.
  insert into idempotency_key
      (merchant_id, key_hash, fingerprint, outcome, operation_id, http_status, answer, created_at)
    select p_merchant, k.key_hash, k.fingerprint, k.outcome, k.operation_id, k.http_status, k.answer, k.created_at
      from unnest(p_keys) k order by k.key_hash;

  -- 3. New cards and lots, then the final images of those that exist.
  if cardinality(p_card_inserts) > 0 then
    insert into card (merchant_id, card_id, card_number, template_id, template_version, currency, status, version,
        principal, bonus, activated_at, expires_at, expires_on, last_operation_at, created_at)
      select p_merchant, c.card_id, c.card_number, c.template_id, c.template_version, c.currency, c.status, 1,
          0, 0, c.activated_at, c.expires_at, c.expires_on, c.created_at, c.created_at
        from unnest(p_card_inserts) c order by c.card_number;
  end if;
  update card c
    set status = i.status, version = i.version, principal = i.principal, bonus = i.bonus, activated_at = i.activated_at,
        expires_at = i.expires_at, expires_on = i.expires_on, last_operation_at = i.last_operation_at
    from unnest(p_cards) i
    where c.merchant_id = p_merchant and c.card_id = i.card_id
      and c.card_id = any (array(select g.card_id from unnest(p_cards) g));
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_cards) then
    raise exception 'card images: % of %', v_rows, cardinality(p_cards) using errcode = 'KF003';
  end if;
  update lot l
    set remaining = i.remaining
    from unnest(p_lots) i
    where l.merchant_id = p_merchant and l.card_id = i.card_id and l.lot_id = i.lot_id
      and l.card_id = any (array(select g.card_id from unnest(p_lots) g))
      and l.remaining = i.remaining_old;
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_lots) then
    raise exception 'lot images: % of %', v_rows, cardinality(p_lots) using errcode = 'KF003';
  end if;
  if cardinality(p_lot_inserts) > 0 then
    insert into lot (merchant_id, card_id, lot_id, account, unit, amount, remaining, expires_at, expires_on,
        operation_id, created_at)
      select p_merchant, l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at, l.expires_on,
          l.operation_id, l.created_at
        from unnest(p_lot_inserts) l;
  end if;

  -- 4. The immutable records, parents first.
  insert into operation (merchant_id, operation_id, kind, status, card_id, target_id, amount, currency, store_id,
      legal_entity, terminal_id, operator, shift, receipt_no, request_no, business_date, occurred_at, recorded_at,
      decided_at, decided_version, api_key_id, user_id, session_id, details)
    select p_merchant, o.operation_id, o.kind, o.status, o.card_id, o.target_id, o.amount, o.currency, o.store_id,
        o.legal_entity, o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, o.business_date, o.occurred_at,
        o.recorded_at, o.decided_at, o.decided_version, o.api_key_id, o.user_id, o.session_id, o.details
      from unnest(p_operations) o
      where not exists (
        select from store s
        where s.merchant_id = p_merchant and s.store_id = o.store_id and s.closed_through >= o.business_date);
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_operations) then
    raise exception 'a business date is closed' using errcode = 'KF005';
  end if;
  if cardinality(p_redemption_inserts) > 0 then
    insert into redemption (merchant_id, redemption_id, card_id, store_id, request_no, status, version, currency,
        amount, refunded, lines, refunded_lines)
      select p_merchant, r.redemption_id, r.card_id, r.store_id, r.request_no, r.status, r.version, r.currency,
          r.amount, r.refunded, r.lines, r.refunded_lines
        from unnest(p_redemption_inserts) r order by r.store_id, r.request_no;
  end if;
  insert into posting (merchant_id, operation_id, posting_no, from_account, to_account, unit, amount, card_id, lot_id,
      legal_entity)
    select p_merchant, p.operation_id, p.posting_no, p.from_account, p.to_account, p.unit, p.amount, p.card_id,
        p.lot_id, p.legal_entity
      from unnest(p_postings) p;
  insert into leg (merchant_id, card_id, version, operation_id, status, principal_delta, bonus_delta, principal, bonus)
    select p_merchant, g.card_id, g.version, g.operation_id, g.status, g.principal_delta, g.bonus_delta, g.principal,
        g.bonus
      from unnest(p_legs) g;

  -- 5. Refunds change their redemption.
  if cardinality(p_redemptions) > 0 then
    update redemption r
      set status = i.status, version = i.version, refunded = i.refunded, refunded_lines = i.refunded_lines
      from unnest(p_redemptions) i
      where r.merchant_id = p_merchant and r.redemption_id = i.redemption_id and r.version = i.version_old
        and r.redemption_id = any (array(select g.redemption_id from unnest(p_redemptions) g));
    get diagnostics v_rows = row_count;
    if v_rows <> cardinality(p_redemptions) then
      raise exception 'redemption images: % of %', v_rows, cardinality(p_redemptions) using errcode = 'KF003';
    end if;
  end if;

  -- 6. Shared counters: one summed delta each, never past the cap.
  if cardinality(p_counters) > 0 then
    update template_counter t
      set used = t.used + d.delta
      from (select x.template_id, x.counter, sum(x.delta)::bigint as delta
              from unnest(p_counters) x
              group by x.template_id, x.counter order by x.template_id, x.counter) d
      where t.merchant_id = p_merchant and t.template_id = d.template_id and t.counter = d.counter
        and (t.cap is null or t.used + d.delta <= t.cap);
    get diagnostics v_rows = row_count;
    select count(*) into v_expected from (select distinct x.template_id, x.counter from unnest(p_counters) x) d;
    if v_rows <> v_expected then
      raise exception 'a counter would pass its cap' using errcode = 'KF004';
    end if;
  end if;

  -- 7. To be numbered once it is committed. The post's number is taken here, while it holds its cards.
  if cardinality(p_operations) > 0 then
    insert into unsequenced (merchant_id, operations)
      values (p_merchant, array(select o.operation_id from unnest(p_operations) o));
  end if;
  return v_missed;
end
$$;

revoke all on function post_v2 (text, guard_v1[], key_v1[], card_insert_v1[], card_image_v1[], lot_insert_v1[],
  lot_image_v1[], operation_v2[], posting_v1[], leg_v1[], redemption_insert_v1[], redemption_image_v1[],
  counter_delta_v1[]) from public;
grant execute on function post_v2 (text, guard_v1[], key_v1[], card_insert_v1[], card_image_v1[], lot_insert_v1[],
  lot_image_v1[], operation_v2[], posting_v1[], leg_v1[], redemption_insert_v1[], redemption_image_v1[],
  counter_delta_v1[]) to kafang_app;
