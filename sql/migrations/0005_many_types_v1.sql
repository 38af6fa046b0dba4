-- What the writer sends to read_many_v1 and post_many_v1: the arguments of read_v1 and post_v1, one element for each
-- merchant, and what comes back for each.

set local lock_timeout = '5s';

create type read_arguments_v1 as (
  merchant_id text, lock boolean, card_numbers text[], keys bytea[], request_stores text[], request_nos text[],
  operations text[], templates text[]);

create type read_result_v1 as (
  epoch bigint, merchant_status text, test_now timestamptz, clock timestamptz, cards card_row_v1[], lots lot_row_v1[],
  keys key_row_v1[], request_nos request_no_row_v1[], operations operation_row_v1[], redemptions redemption_row_v1[],
  postings posting_row_v1[], counters counter_row_v1[]);

create type post_arguments_v1 as (
  merchant_id text, guards guard_v1[], keys key_v1[], card_inserts card_insert_v1[], cards card_image_v1[],
  lot_inserts lot_insert_v1[], lots lot_image_v1[], operations operation_v1[], postings posting_v1[], legs leg_v1[],
  redemption_inserts redemption_insert_v1[], redemptions redemption_image_v1[], counters counter_delta_v1[]);

create type post_result_v1 as (missed integer[]);
