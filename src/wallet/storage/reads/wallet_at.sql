-- Wallets at any instant. Entries, hold steps and events of a locked wallet share its positions, along which time never
-- runs backwards: an instant is found by bisecting them. An unlocked wallet has batches, whose order of seq is close to
-- the order of time; their created_at decides.

-- name: find_due
-- in:  $1 shard smallint, $2 wallet uuid
-- out: whether something is due at the wallet that is not posted yet; no row: there is no such wallet
SELECT coalesce(w.next_due_at <= ledger_now(), false) AS is_due
  FROM wallets AS w
 WHERE w.shard = $1 AND w.id = $2;

-- name: take_fence
-- out: xid as text, committed when this returns; fenced_at by the ledger's clock, before the xid was taken
-- why: a writer has its xid before it reads the clock, so every batch of an instant before fenced_at has a lower xid.
--      The offset comes from this statement's own snapshot: a later writer sees no smaller one
SELECT pg_current_xact_id()::text AS xid, now() + clock.advanced AS fenced_at
  FROM sandbox_clock AS clock;

-- name: find_excused
-- in:  $1 instant timestamptz
-- out: xids, as text, of sessions whose database transaction cannot be of this instant or before
-- why: asked after a fence is taken and before the snapshot is, it sees every xid below the fence that runs in the
--      snapshot. Xids that it may not see (another role's, a prepared one) are not excused. The offset of a sandbox is
--      left out, for an older one may be what a writer goes by
SELECT coalesce(array_agg(session.backend_xid::text), '{}') AS xids
  FROM pg_stat_activity AS session
 WHERE session.backend_xid IS NOT NULL
   AND (session.datname <> current_database() OR session.xact_start > $1);

-- name: begin_snapshot
-- why: the statements until COMMIT see one state of the ledger. Starting parallel workers would take longer than any of
--      them
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;  -- noqa: PRS
SET LOCAL max_parallel_workers_per_gather = 0;

-- name: end_snapshot
COMMIT;

-- name: find_stable
-- in:  $1 the fence's xid as text, $2 xids excused text[]
-- out: is_stable: whether all that was running when the fence was taken is in this snapshot, but for those excused
-- why: the fence has ended, so the snapshot lists every lower xid that is running
SELECT NOT EXISTS (
           SELECT FROM pg_snapshot_xip(pg_current_snapshot()) AS running (xid)
            WHERE running.xid < $1::text::xid8 AND running.xid::xid::text <> ALL($2::text[])
       ) AS is_stable;

-- name: find_subject
-- in:  $1 shard smallint, $2 wallet uuid
-- out: the wallet, or no row; seq_max: of the batches there are; now: the ledger's clock just before the snapshot
SELECT w.id, a.code AS asset_code, a.scale, w.kind, w.locked, w.version, w.last_entry_at, w.overdraft_limit,
       w.merged_into, now() + (SELECT clock.advanced FROM sandbox_clock AS clock) AS now,
       CASE WHEN NOT w.locked THEN (SELECT coalesce(max(b.seq), 0) FROM batches AS b WHERE b.shard = $1) END
         AS seq_max
  FROM wallets AS w
  JOIN assets AS a ON a.id = w.asset_id
 WHERE w.shard = $1 AND w.id = $2;

-- name: find_position
-- in:  $1 shard smallint, $2 wallet uuid, $3 its version bigint, $4 instant timestamptz
-- out: the last position of a locked wallet at or before the instant; 0: none
-- why: some twenty look-ups by key for a million positions; an index on created_at would be paid for by every movement
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, $3::bigint
     UNION ALL
    SELECT CASE WHEN probe.is_by_then THEN middle.position ELSE search.low END,
           CASE WHEN probe.is_by_then THEN search.high ELSE middle.position - 1 END
      FROM search
     CROSS JOIN LATERAL (SELECT (search.low + search.high + 1) / 2 AS position) AS middle
     CROSS JOIN LATERAL (
           SELECT coalesce(
                      (SELECT e.created_at FROM ledger_entries AS e
                        WHERE e.shard = $1 AND e.wallet_id = $2 AND e.position = middle.position),
                      (SELECT s.created_at FROM hold_steps AS s
                        WHERE s.shard = $1 AND s.wallet_id = $2 AND s.position = middle.position),
                      (SELECT c.created_at FROM wallet_events AS c
                        WHERE c.shard = $1 AND c.wallet_id = $2 AND c.position = middle.position)
                  ) <= $4 AS is_by_then
           OFFSET 0  -- asked once, used twice
         ) AS probe
     WHERE search.low < search.high
)
SELECT low AS position FROM search WHERE low = high;

-- name: find_state
-- in:  $1 shard smallint, $2 wallet uuid, $3 position bigint, $4 the overdraft limit it has now bigint
-- out: balance, held and overdraft_limit of a locked wallet as that position left them
-- why: a limit is the last one set by then. If it was set only later, it was none before; if no event ever set it, it
--      has always been what it is
SELECT coalesce((
           SELECT e.balance_after FROM ledger_entries AS e
            WHERE e.shard = $1 AND e.wallet_id = $2 AND e.position <= $3
            ORDER BY e.position DESC LIMIT 1
       ), 0) AS balance,
       coalesce((
           SELECT s.held_after FROM hold_steps AS s
            WHERE s.shard = $1 AND s.wallet_id = $2 AND s.position <= $3
            ORDER BY s.position DESC LIMIT 1
       ), 0) AS held,
       coalesce(
           (SELECT coalesce((c.changes::jsonb ->> 'overdraft_limit')::bigint, 0) FROM wallet_events AS c
             WHERE c.shard = $1 AND c.wallet_id = $2 AND c.position <= $3 AND c.changes::jsonb ? 'overdraft_limit'
             ORDER BY c.position DESC LIMIT 1),
           (SELECT 0 FROM wallet_events AS c
             WHERE c.shard = $1 AND c.wallet_id = $2 AND c.position > $3 AND c.changes::jsonb ? 'overdraft_limit'
             LIMIT 1),
           $4::bigint
       ) AS overdraft_limit;

-- name: find_seq
-- in:  $1 shard smallint, $2 instant timestamptz
-- out: a seq near which batches of this instant stand
-- why: bisection, as if seqs were in the order of time. find_zone tells which batches are out of that order
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, coalesce(max(seq), 0) FROM batches WHERE shard = $1
     UNION ALL
    SELECT CASE WHEN probe.is_by_then THEN middle.seq ELSE search.low END,
           CASE WHEN probe.is_by_then THEN search.high ELSE middle.seq - 1 END
      FROM search
     CROSS JOIN LATERAL (SELECT (search.low + search.high + 1) / 2 AS seq) AS middle
     CROSS JOIN LATERAL (
           -- Seqs have gaps: a batch that failed had taken one.
           SELECT coalesce((SELECT b.created_at <= $2 FROM batches AS b
                             WHERE b.shard = $1 AND b.seq > search.low AND b.seq <= middle.seq
                             ORDER BY b.seq DESC LIMIT 1), true) AS is_by_then
           OFFSET 0
         ) AS probe
     WHERE search.low < search.high
)
SELECT low AS seq FROM search WHERE low = high;

-- name: find_zone
-- in:  $1 shard smallint, $2 instant timestamptz, $3 a seq near it bigint
-- out: low and high: every batch with a seq below low is at or before the instant, every one above high is after it
-- why: batches run beside each other, a batch is never before the last line of its wallets, and clocks are set back.
--      The index has the bounds of both columns for every few thousand batches, so few batches are read. The conditions
--      are sums, because otherwise the server would go along the primary key until it finds one
SELECT coalesce((SELECT min(seq + 0) FROM batches WHERE shard = $1 AND seq <= $3 AND created_at > $2), $3 + 1) AS low,
       coalesce((SELECT max(seq + 0) FROM batches WHERE shard = $1 AND seq > $3 AND created_at <= $2), $3) AS high;

-- name: find_unlocked_balance
-- in:  $1 shard smallint, $2 wallet uuid, $3 instant timestamptz, $4 and $5 low and high of find_zone bigint
-- out: balance of an unlocked wallet by all batches at or before the instant, as numeric
-- why: the latest snapshot before the zone, the deltas after it, and those deltas in the zone that are at or before the
--      instant
SELECT coalesce(latest.balance, 0)
       + coalesce((
           SELECT sum(d.amount) FROM system_deltas AS d
            WHERE d.shard = $1 AND d.wallet_id = $2 AND d.seq > coalesce(latest.upto_seq, 0) AND d.seq < $4
       ), 0)
       + coalesce((
           SELECT sum(d.amount)
             FROM system_deltas AS d
             JOIN batches AS b ON b.shard = d.shard AND b.seq = d.seq
            WHERE d.shard = $1 AND d.wallet_id = $2 AND d.seq >= $4 AND d.seq <= $5 AND b.created_at <= $3
       ), 0) AS balance
  FROM (SELECT) AS once
  LEFT JOIN LATERAL (
        SELECT snapshot.upto_seq, snapshot.balance
          FROM system_snapshots AS snapshot
         WHERE snapshot.shard = $1 AND snapshot.wallet_id = $2 AND snapshot.upto_seq < $4
         ORDER BY snapshot.upto_seq DESC
         LIMIT 1
       ) AS latest ON true;

-- name: sum_backdated
-- in:  $1 shard smallint, $2 wallet uuid, $3 instant timestamptz
-- out: by how much the balance on the effective axis is more than the posted one at the instant, as numeric
-- why: nothing is effective later than it was posted, so only entries that took effect by then and were posted later
--      make a difference. An entry with a lag of up to 2^n microseconds took effect at most that long before the
--      instant, up to a rounding
SELECT coalesce(sum(spanning.change), 0) AS change
  FROM generate_series(0, 60) AS length (class)
 CROSS JOIN LATERAL (
       SELECT sum(b.change) AS change
         FROM backdated_entries AS b
        WHERE b.shard = $1
          AND b.wallet_id = $2
          AND lag_class(b.effective_at, b.created_at) = length.class
          AND b.effective_at <= $3
          AND b.effective_at > CASE WHEN length.class < 56
                                    THEN $3 - interval '2 microseconds' * (2 ^ length.class)
                                    ELSE '-infinity' END
          AND b.created_at > $3
     ) AS spanning;
