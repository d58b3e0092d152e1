-- Deleting what is kept for a time only.

-- name: prune_declines
-- in:  $1 days that declines are kept, $2 how many at most
-- out: a row per decline deleted
-- why: looks at the oldest by id only, which are the oldest by time but for seconds; so the look is as bounded as
--      the deletion, and finding nothing costs next to nothing
WITH oldest AS MATERIALIZED (
    SELECT id, created_at FROM declines ORDER BY id LIMIT $2
)
DELETE FROM declines
 USING oldest
 WHERE declines.id = oldest.id AND oldest.created_at < clock_timestamp() - make_interval(days => $1)
RETURNING declines.id;
