-- What every connection is set up with and checked for.

-- name: set_durable
-- out: the server's durability settings, and whether it is a standby
-- why: a server that forgets on a crash is refused; synchronous_commit is only ever raised, because an operator
--      may have chosen remote_apply for good reasons
SELECT current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
            THEN set_config('synchronous_commit', 'on', false)
       END AS synchronous_commit,
       pg_is_in_recovery() AS is_standby;

-- name: can_lead
-- out: whether this session now holds the leader's lock (0x6c6561646572, "leader"), which it keeps while it lives
SELECT pg_try_advisory_lock(119182681466226) AS is_leader;
