-- The sandbox's clock: how far the ledger's clock is ahead of the database's.

-- name: read_clock
-- out: the ledger's clock, and by how many seconds it is ahead
SELECT ledger_now() AS now, extract(EPOCH FROM advanced)::float8 AS offset_seconds
  FROM sandbox_clock;

-- name: try_lock_clock
-- out: whether this session now holds the lock of those who advance the clock (0x636c6f636b, "clock"), which it keeps
--      while it lives
SELECT pg_try_advisory_lock(427021001579) AS is_locked;

-- name: advance_clock
-- in:  $1 the instant that it is to be, timestamptz
-- out: as read_clock
-- why: never backward, whoever else advances it. In seconds only: a day of an interval is not 24 hours everywhere
UPDATE sandbox_clock
   SET advanced = greatest(advanced, extract(EPOCH FROM $1::timestamptz - clock_timestamp()) * interval '1 second')
RETURNING clock_timestamp() + advanced AS now, extract(EPOCH FROM advanced)::float8 AS offset_seconds;
