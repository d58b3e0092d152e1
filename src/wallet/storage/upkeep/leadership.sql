-- Leadership of the keepers.

-- name: limit_idleness
-- in:  $1 milliseconds as text
-- why: a stopped leader keeps its connection, and with it the leader's lock, until the server ends the session
SELECT set_config('idle_session_timeout', $1, false);

-- name: can_lead
-- out: whether this session now has the leader's lock (0x6c6561646572, "leader"), which it keeps while it lives
SELECT pg_try_advisory_lock(119182681466226) AS is_leader;
