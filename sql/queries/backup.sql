-- The embedded server's backups and its archive of the write-ahead log. For the superuser.

-- name: archives
-- Whether there is an archive.
select current_setting('archive_mode') <> 'off';

-- name: end_log_file
-- End the log file that is being written, and tell its name; the one before when it is still empty:
-- then the answer is its first byte, which is no end of anything.
select pg_walfile_name(pg_switch_wal() - 1);

-- name: archived
-- $1: whether the archive has this file of the log, and so all before it.
select coalesce(last_archived_wal, '') >= $1 from pg_stat_archiver;

-- name: archive_failed
-- When the archive last refused a file.
select last_failed_time from pg_stat_archiver;

-- name: last_commit_at
-- When the last of the commits was made that a recovery repeated.
select pg_last_xact_replay_timestamp();

-- name: reached
-- $1: whether a recovery repeated the log as far as this place in it.
select pg_last_wal_replay_lsn() >= $1::text::pg_lsn;
