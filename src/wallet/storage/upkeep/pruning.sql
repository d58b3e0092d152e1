-- Deletes rows that are kept for a limited time.

-- name: find_oldest_kept
-- in:  $1 days that declines are kept
-- out: the time before which the old declines were made
SELECT clock_timestamp() - make_interval(days => $1) AS oldest_kept;

-- name: prune_declines
-- in:  $1 shard smallint, $2 time before which they were made timestamptz, $3 how many at most
-- out: a row per decline deleted
-- why: it looks only at the oldest ids, which are the oldest times up to some seconds; so the look is as bounded as the
--      deletion, and finding nothing costs next to nothing
WITH oldest AS MATERIALIZED (
    SELECT id, created_at FROM declines WHERE shard = $1 ORDER BY id LIMIT $3
)
DELETE FROM declines
 USING oldest
 WHERE declines.shard = $1 AND declines.id = oldest.id AND oldest.created_at < $2
RETURNING declines.id;
