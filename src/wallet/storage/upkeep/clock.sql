-- The sandbox's clock: how far the ledger's clock is ahead of the database's.

-- name: read_clock
-- out: the ledger's clock, and by how many seconds it is ahead
SELECT ledger_now() AS now, extract(EPOCH FROM advanced)::float8 AS offset_seconds
  FROM sandbox_clock;

-- name: try_lock_clock
-- out: whether this session now has the lock for advancing the clock (0x636c6f636b, "clock"), which it keeps while it
--      lives
SELECT pg_try_advisory_lock(427021001579) AS is_locked;

-- name: advance_clock
-- in:  $1 the instant that it is to be, timestamptz
-- out: as read_clock
-- why: the clock never goes backward, even if another session advances it. The offset is in seconds only, because a day
--      of an interval is not always 24 hours
UPDATE sandbox_clock
   SET advanced = greatest(advanced, extract(EPOCH FROM $1::timestamptz - clock_timestamp()) * interval '1 second')
RETURNING clock_timestamp() + advanced AS now, extract(EPOCH FROM advanced)::float8 AS offset_seconds;
