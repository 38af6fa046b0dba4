-- What the writer sends to post_v1, one composite type for each table it writes. `component` ties the rows that stand
-- or fall together. The types are versioned with the function: a later shape is a new type and a new function, so that
-- a service of either version can run on one schema.

set local lock_timeout = '5s';

create type guard_v1 as (component integer, kind text, id text, version bigint);

create type card_insert_v1 as (
  component integer, card_id text, card_number text, template_id text, template_version integer,
  currency text, status text, activated_at timestamptz, expires_at timestamptz, expires_on date,
  created_at timestamptz);

create type card_image_v1 as (
  component integer, card_id text, status text, version bigint, principal bigint, bonus bigint,
  activated_at timestamptz, expires_at timestamptz, expires_on date, last_operation_at timestamptz);

create type lot_insert_v1 as (
  component integer, card_id text, lot_id text, account text, unit text, amount bigint, remaining bigint,
  expires_at timestamptz, expires_on date, operation_id text, created_at timestamptz);

create type lot_image_v1 as (component integer, card_id text, lot_id text, remaining_old bigint, remaining bigint);

create type operation_v1 as (
  component integer, operation_id text, kind text, status text, card_id text, target_id text, amount bigint,
  currency text, store_id text, legal_entity text, terminal_id text, operator text, shift text, receipt_no text,
  request_no text, business_date date, occurred_at timestamptz, recorded_at timestamptz, decided_at timestamptz,
  decided_version bigint, api_key_id text, details jsonb);

create type posting_v1 as (
  component integer, operation_id text, posting_no smallint, from_account text, to_account text, unit text,
  amount bigint, card_id text, lot_id text, legal_entity text);

create type leg_v1 as (
  component integer, card_id text, version bigint, operation_id text, status text,
  principal_delta bigint, bonus_delta bigint, principal bigint, bonus bigint);

create type redemption_insert_v1 as (
  component integer, redemption_id text, card_id text, store_id text, request_no text, status text, version bigint,
  currency text, amount bigint, refunded bigint, lines jsonb, refunded_lines jsonb);

create type redemption_image_v1 as (
  component integer, redemption_id text, version_old bigint, version bigint, status text, refunded bigint,
  refunded_lines jsonb);

create type counter_delta_v1 as (component integer, template_id text, counter text, delta bigint);

create type key_v1 as (
  component integer, key_hash bytea, fingerprint bytea, outcome text, operation_id text, http_status smallint,
  answer bytea, created_at timestamptz);

-- What read_v1 returns beside them.
create type card_row_v1 as (
  card_id text, card_number text, template_id text, template_version integer, currency text, status text,
  version bigint, principal bigint, bonus bigint, activated_at timestamptz, expires_at timestamptz,
  expires_on date, last_operation_at timestamptz, created_at timestamptz);

create type lot_row_v1 as (
  card_id text, lot_id text, account text, unit text, amount bigint, remaining bigint, expires_at timestamptz,
  expires_on date);

create type redemption_row_v1 as (
  redemption_id text, card_id text, store_id text, request_no text, status text, version bigint, currency text,
  amount bigint, refunded bigint, lines jsonb, refunded_lines jsonb, decided_at timestamptz, business_date date);

create type posting_row_v1 as (
  operation_id text, posting_no smallint, from_account text, to_account text, amount bigint, lot_id text);

create type operation_row_v1 as (
  operation_id text, kind text, status text, card_id text, store_id text, amount bigint, api_key_id text,
  reversed_by text);

create type key_row_v1 as (
  key_hash bytea, fingerprint bytea, outcome text, operation_id text, http_status smallint, answer bytea,
  created_at timestamptz);

create type counter_row_v1 as (template_id text, counter text, used bigint, cap bigint);

create type request_no_row_v1 as (store_id text, request_no text, redemption_id text);
