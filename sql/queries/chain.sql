-- Numbering what is committed, and the chain that seals it.

-- name: lead
-- One process of all numbers; the lock ends with its connection.
select pg_try_advisory_lock($1);

-- name: waiting
-- Which merchants have something to number, and since when the oldest waits.
select merchants, extract(epoch from clock_timestamp() - since)::float8 as waiting_s from unsequenced_merchants_v1($1);

-- name: sequence
-- Number and seal what these merchants have posted.
select sequence_v1($1::text[]);

-- name: heads
-- The ends of the chains that moved after an instant.
select merchant_id, segment_no, seq, hash, moved_at from chain_heads_v1($1);

-- name: segments
-- The segments after one, in their order, with what they seal: as a bundle holds them.
select segment_no, first_seq, last_seq, to_char(sealed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as sealed_at,
  encode(digest, 'hex') as digest, encode(hash, 'hex') as hash, chain_lines_v1(merchant_id, entries) as lines
from segment where merchant_id = $1 and segment_no > $2
order by segment_no limit $3;

-- name: anchored
-- The segments that anchors name, as they are.
select segment_no, last_seq as seq, encode(hash, 'hex') as hash
from segment where merchant_id = $1 and segment_no = any ($2::bigint[]);
