-- What terms_v3 returns beside what it did: who is signed in, with their roles and the stores each is for; and what
-- post_v2 takes: an operation with who did it.

set local lock_timeout = '5s';

create type grant_row_v1 as (role text, stores text[], contract text[]);

create type session_row_v1 as (
  session_id text, user_id text, secret_hash bytea, second_factor boolean, expires_at timestamptz,
  grants grant_row_v1[]);

create type operation_v2 as (
  component integer, operation_id text, kind text, status text, card_id text, target_id text, amount bigint,
  currency text, store_id text, legal_entity text, terminal_id text, operator text, shift text, receipt_no text,
  request_no text, business_date date, occurred_at timestamptz, recorded_at timestamptz, decided_at timestamptz,
  decided_version bigint, api_key_id text, user_id text, session_id text, details jsonb);

create type post_arguments_v2 as (
  merchant_id text, guards guard_v1[], keys key_v1[], card_inserts card_insert_v1[], cards card_image_v1[],
  lot_inserts lot_insert_v1[], lots lot_image_v1[], operations operation_v2[], postings posting_v1[], legs leg_v1[],
  redemption_inserts redemption_insert_v1[], redemptions redemption_image_v1[], counters counter_delta_v1[]);
