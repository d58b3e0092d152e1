-- The fence and the watermark. Each step is one statement that compares before it sets, because a leader that was
-- stopped may wake up beside a new one: its late statement must change nothing.

-- name: read_progress
-- in:  $1 shard smallint
-- out: last_seq: the last seq that any batch has taken, committed or not; watermark_seq
SELECT CASE WHEN taken.is_called THEN taken.last_value ELSE taken.last_value - 1 END AS last_seq,
       watermark.seq AS watermark_seq
  FROM batch_seq AS taken, watermarks AS watermark
 WHERE watermark.shard = $1;

-- name: take_xid
-- out: an xid, as text, that is committed when this returns, and the time it was taken at
-- why: a writer has its xid before its seq, so all writers with a seq that was read before this have lower xids
SELECT pg_current_xact_id()::text AS xid, clock_timestamp() AS taken_at;

-- name: move_watermark
-- in:  $1 shard smallint, $2 seq read before the xid was taken, $3 the xid as text, $4 the time it was taken at
-- out: is_stable: whether every batch up to $2 has committed or never will; watermark_seq, moved if so
-- why: the watermark never goes backward, since another leader may have moved it further. It is committed synchronously
--      like any batch: after a crash that loses a watermark, a sequence could give the same seqs again
WITH fence AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot()) > $3::text::xid8 AS is_stable
),
moved AS (
    UPDATE watermarks AS watermark
       SET seq = $2, moved_at = $4
      FROM fence
     WHERE fence.is_stable AND watermark.shard = $1 AND watermark.seq < $2
    RETURNING watermark.seq
)
SELECT fence.is_stable,
       coalesce((SELECT seq FROM moved), (SELECT seq FROM watermarks WHERE shard = $1)) AS watermark_seq
  FROM fence;

-- name: find_blockers
-- in:  $1 the fence's xid as text, $2 how many at most
-- out: the sessions of the whole cluster and the prepared database transactions that hold the fence back, the oldest
--      first
-- why: only a transaction with an xid holds it back, so a long report does not. The age is null if this role may not
--      see it
SELECT pid, coalesce(nullif(application_name, ''), backend_type) AS application, datname AS database, state,
       extract(EPOCH FROM clock_timestamp() - xact_start)::float8 AS age_seconds
  FROM pg_stat_activity
 WHERE backend_xid IS NOT NULL AND age(backend_xid) >= age($1::text::xid8::xid)
UNION ALL
SELECT NULL, gid, database, 'prepared', extract(EPOCH FROM clock_timestamp() - prepared)::float8
  FROM pg_prepared_xacts
 WHERE age(transaction) >= age($1::text::xid8::xid)
 ORDER BY age_seconds DESC NULLS LAST
 LIMIT $2;
