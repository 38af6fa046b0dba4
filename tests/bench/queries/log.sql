-- The write-ahead log of the bench's server.

-- name: begin_file
-- A file that holds nothing is not ended.
select pg_logical_emit_message(false, 'bench', '');

-- name: end_file
select pg_switch_wal();
