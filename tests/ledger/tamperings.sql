-- Damage done to a ledger, each with the invariants that must name it: the negative controls of the checker.
-- {name} stands for a row of the history, see test_invariants.py.

-- INV-D1: an amount its postings don't have
update operation set amount = amount + 1 where operation_id = {top_up};

-- INV-D1: value from the wrong side
update posting set from_account = 'sales' where operation_id = {top_up} and to_account = 'principal';

-- INV-D1, INV-D3, INV-D7: another unit
update posting set unit = 'USD' where operation_id = {top_up};

-- INV-D1, INV-D2, INV-D3, INV-D7: another amount
update posting set amount = amount + 1 where operation_id = {top_up};

-- INV-D1, INV-D2, INV-D3, INV-D18: value between two accounts of a card
alter table posting drop constraint posting_one_card_side;
update posting set from_account = 'bonus' where operation_id = {top_up} and to_account = 'principal';

-- INV-D1, INV-D2, INV-D3, INV-D7: a posting lost
delete from posting where operation_id = {redeem};

-- INV-D1, INV-D4, INV-D10, INV-D11, INV-D13: a posting without operation
delete from operation where operation_id = {top_up};

-- INV-D1, INV-D4, INV-D10: postings of a refusal
update operation set status = 'refused' where operation_id = {top_up};

-- INV-D2: a leg that its postings don't make, made up for later
update leg set principal = principal + 1, principal_delta = principal_delta + 1 where card_id = {card} and
  version = 2;
update leg set principal_delta = principal_delta - 1 where card_id = {card} and version = 3;

-- INV-D2, INV-D3, INV-D7: money on a card, hidden everywhere but in the postings
update card set principal = principal + 1 where card_id = {card};
update leg g set principal = g.principal + 1, principal_delta = g.principal_delta + 1 from card c where
  c.card_id = g.card_id and c.version = g.version and c.card_id = {card};
update lot set remaining = remaining + 1 where lot_id = (select min(lot_id) from lot where card_id = {card}
  and account = 'principal' and remaining between 1 and amount - 1);

-- INV-D2, INV-D3, INV-D4, INV-D7: a stored balance
update card set principal = principal + 1 where card_id = {card};

-- INV-D1, INV-D2, INV-D7, INV-D13: a posting on another card
update posting set card_id = (select max(card_id) from card) where operation_id = {top_up};

-- INV-D1, INV-D3: a unit that no card holds
update card set currency = 'JPY' where card_id = (select min(card_id) from card);

-- INV-D4, INV-D9: a gap
delete from leg where card_id = {card} and version = 1;

-- INV-D4: a running balance
update leg set bonus = bonus + 1 where card_id = {card} and version = 2;

-- INV-D4: a card ahead of its legs
update card set version = version + 1 where card_id = {card};

-- INV-D4: a card's clock
update card set last_operation_at = last_operation_at + interval '1 s' where card_id = {card};

-- INV-D4: a leg of nobody
insert into leg select merchant_id, card_id, version + 1, {refused}, status, 0, 0, principal, bonus from card
  where card_id = {card};
update card set version = version + 1, last_operation_at = (select decided_at from operation where
  operation_id = {refused}) where card_id = {card};

-- INV-D4: decided on another version
update operation set decided_version = decided_version - 1 where operation_id = {redeem};

-- INV-D6: more given back than booked
update redemption set refunded = refunded - 1 where redemption_id = {partly};

-- INV-D6, INV-D18: given back above the amount
alter table redemption drop constraint redemption_refunded_within, drop constraint redemption_status_agrees;
update redemption set refunded = amount + 1 where redemption_id = {refunded};

-- INV-D6: a status that disagrees
update redemption set status = 'voided' where redemption_id = {refunded};

-- INV-D6: a redemption's card
update redemption set request_no = 'x' where redemption_id = {redeem};

-- INV-D6: a redemption lost
delete from redemption where redemption_id = {redeem};

-- INV-D6: a reversal of a reversal
update operation set target_id = {reversal} where kind = 'reversal' and card_id is not null and status =
  'accepted' and operation_id <> {reversal};

-- INV-D6: a freeze that undoes a top-up
update operation set target_id = {top_up} where kind = 'freeze' and status = 'accepted';

-- INV-D6: a refund of another card's redemption
update operation set target_id = (select max(r.redemption_id) from redemption r join operation u on
  u.operation_id = {refund} and r.card_id <> u.card_id) where operation_id = {refund};

-- INV-D2, INV-D6, INV-D7: given back to an account that didn't pay
update posting p set lot_id = l.lot_id, to_account = 'bonus' from lot l, operation u where u.operation_id =
  p.operation_id and u.kind = 'refund' and p.from_account = 'sales' and p.to_account = 'principal' and
  l.card_id = p.card_id and l.account = 'bonus';

-- INV-D7: a lot's rest
update lot set remaining = remaining - 1 where lot_id = {lot};

-- INV-D7: a lot's amount
update lot set amount = amount + 1 where lot_id = {lot};

-- INV-D7, INV-D18: more than the lot ever had
alter table lot drop constraint lot_remaining_within;
update lot set remaining = amount + 1 where lot_id = {lot};

-- INV-D7: a lot that moved to another account
update lot set account = 'bonus' where lot_id = {lot};

-- INV-D7: a lot spent after its time
update lot set expires_at = created_at, expires_on = '2026-01-01' where lot_id = (select min(lot_id) from
  posting where operation_id = {redeem});

-- INV-D7: a lapse before its time
update lot set expires_at = expires_at + interval '100 years' where lot_id = {lapsed};

-- INV-D9: a move the table doesn't have
update leg g set status = 'active' from operation o where o.operation_id = g.operation_id and o.kind =
  'freeze';

-- INV-D9: value on a card that isn't active
update leg g set status = 'frozen' from operation o where o.operation_id = g.operation_id and o.kind = 'issue'
  and g.card_id = {card};

-- INV-D9: redeemed after its validity
update card set expires_at = created_at where expires_at is not null;

-- INV-D9: active without activation
update card set activated_at = null where card_id = {card};

-- INV-D10: a key lost
delete from idempotency_key where operation_id = {redeem};

-- INV-D10: a key's outcome
update idempotency_key set outcome = 'refused' where operation_id = {redeem};

-- INV-D10: two keys for one operation
insert into idempotency_key select merchant_id, decode(md5('x'), 'hex'), fingerprint, outcome, operation_id,
  http_status, answer, created_at from idempotency_key where operation_id = {redeem};

-- INV-D11: an operation that waits for a second number
insert into unsequenced (merchant_id, operations) select merchant_id, array[operation_id] from operation
  where operation_id = {redeem};

-- INV-D11: an operation that will never have a number
delete from unsequenced where {redeem} = any (operations);

-- INV-D11, INV-D12: a change that was never written down
delete from audit_entry where action = 'store.created';

-- INV-D12: a change that was written anew
update audit_entry set actor_id = 'nobody' where action = 'store.created';

-- INV-D11, INV-D12: a segment lost
delete from segment where segment_no = 1;

-- INV-D13: another tenant's store
update operation set store_id = {foreign_store} where operation_id = {top_up};

-- INV-D13: another tenant's key
update operation set api_key_id = 'key_00000000000000000000000000' where operation_id = {top_up};

-- INV-D7, INV-D13: a lot from nowhere
update lot set operation_id = 'opn_x' where lot_id = {lapsed};

-- INV-D13: a reference without the tenant
alter table merchant add unique (merchant_id, name);
alter table store add column owner text, add constraint odd foreign key (owner) references merchant;

-- INV-D13: a key without the tenant
create unique index odd on card (card_number);

-- INV-D15: a counter
update template_counter set used = used - 1 where template_id = (select min(template_id) from card);

-- INV-D18: a constraint lost
alter table leg drop constraint leg_principal_check;

-- INV-D18: a constraint never validated
alter table lot drop constraint lot_amount_check, add constraint lot_amount_check check (amount > 0) not valid;

-- INV-D18: foreign keys switched off
alter table posting disable trigger all;

-- INV-D18: row security not forced
alter table card no force row level security;

-- INV-D18: row security off
alter table card disable row level security;

-- INV-D6, INV-D7, INV-D13, INV-D18: a policy lost: its table looks empty
drop policy tenant on lot;

-- INV-D18: a policy too many
create policy odd on lot using (true);

-- INV-D18: a policy for the application
create policy odd on merchant for select to kafang_app using (true);

-- INV-D18: a grant to delete
grant delete on card to kafang_app;

-- INV-D18: a grant to update history
grant update (amount) on posting to kafang_app;
