-- Balances as they are now.

-- name: find_balances
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: a row per wallet that exists, in no order. Version null and balance_unlocked set: it is never locked. is_due:
--      by as_of something had fallen due that is not posted
-- why: one statement, so one snapshot: the latest snapshot of a system wallet and the deltas after it fit together
--      however late the keeper is. as_of is the clock just before the database took its snapshot: it includes
--      everything that was committed by then. Adding balance and limit is left to the caller, whose integers do not
--      overflow
SELECT w.id, a.code, a.scale, w.balance, w.held, w.overdraft_limit,
       CASE WHEN w.locked THEN w.version END AS version,
       now() + (SELECT clock.advanced FROM sandbox_clock AS clock WHERE clock.is_only) AS as_of,
       CASE WHEN NOT w.locked THEN (
           SELECT coalesce(latest.balance, 0) + coalesce((
                      SELECT sum(d.amount)
                        FROM system_deltas AS d
                       WHERE d.shard = $1
                         AND d.wallet_id = w.id
                         AND d.seq > coalesce(latest.upto_seq, 0)
                  ), 0)
             FROM (SELECT) AS once
             LEFT JOIN LATERAL (
                   SELECT snapshot.upto_seq, snapshot.balance
                     FROM system_snapshots AS snapshot
                    WHERE snapshot.shard = $1 AND snapshot.wallet_id = w.id
                    ORDER BY snapshot.upto_seq DESC
                    LIMIT 1
                  ) AS latest ON true
       ) END AS balance_unlocked,
       w.merged_into,
       CASE WHEN w.next_due_at IS NULL THEN false
            ELSE w.next_due_at <= now() + (SELECT clock.advanced FROM sandbox_clock AS clock WHERE clock.is_only)
       END AS is_due
  FROM wallets AS w
  JOIN assets AS a ON a.id = w.asset_id
 WHERE w.shard = $1 AND w.id = ANY($2::uuid[]);
