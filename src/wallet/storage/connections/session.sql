-- The checks of every new connection.

-- name: look_at_session
-- in:  $1 names and $2 values of settings text[], as they were asked for
-- out: the server's durability settings and encoding; the role that the session works in; the server's process;
--      whether it is a standby; and left_out: the settings that are not as asked for
-- why: a server that forgets on a crash is refused; synchronous_commit is only ever raised, because an operator
--      may have chosen remote_apply for good reasons
SELECT current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('server_encoding') AS encoding,
       current_user::text AS role,
       pg_backend_pid() AS pid,
       ARRAY(
        SELECT asked.name
          FROM unnest($1::text[], $2::text[]) AS asked (name, value)
          JOIN pg_settings AS found ON lower(found.name) = asked.name AND found.setting <> asked.value
       ) AS left_out,
       CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
            THEN set_config('synchronous_commit', 'on', false)
       END AS synchronous_commit,
       pg_is_in_recovery() AS is_standby;

-- name: set_as_asked
-- in:  $1 names and $2 values of settings text[]
SELECT set_config(asked.name, asked.value, false) FROM unnest($1::text[], $2::text[]) AS asked (name, value);

-- name: is_served_by
-- in:  {pid}, a number
-- out: no columns, but a row, and so the tag `SELECT 1`, if this session's process is that one
SELECT WHERE pg_backend_pid() = {pid};  -- noqa: PRS
