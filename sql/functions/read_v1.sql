-- Everything a batch of one merchant is decided on, in one round trip.
--
-- The tenant is set first; a statement of its own, because inside one statement the order is not defined. With p_lock
-- the cards are locked next, in id order. The state is read after that, in one snapshot. It decides nothing.
create or replace function read_v1(
  p_merchant text, p_lock boolean, p_card_numbers text[], p_keys bytea[],
  p_request_stores text[], p_request_nos text[], p_operations text[], p_templates text[],
  out epoch bigint, out merchant_status text, out test_now timestamptz, out clock timestamptz,
  out cards card_row_v1[], out lots lot_row_v1[], out keys key_row_v1[], out request_nos request_no_row_v1[],
  out operations operation_row_v1[], out redemptions redemption_row_v1[], out postings posting_row_v1[],
  out counters counter_row_v1[])
language plpgsql
as $$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  if p_lock then
    perform 1 from card c
      where c.merchant_id = p_merchant and c.card_number = any (p_card_numbers)
      order by c.card_id
      for no key update;
  end if;
  select * into epoch, merchant_status, test_now, clock, cards, lots, keys, request_nos, operations, redemptions,
      postings, counters
    from read_state_v1(
      p_merchant, p_card_numbers, p_keys, p_request_stores, p_request_nos, p_operations, p_templates);
end
$$;

revoke all on function read_v1 (text, boolean, text[], bytea[], text[], text[], text[], text[]) from public;
grant execute on function read_v1 (text, boolean, text[], bytea[], text[], text[], text[], text[]) to kafang_app;
