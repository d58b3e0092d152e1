-- Finds work that is due by the ledger's clock. Each statement reads the clock once, in a query of its own, so that an
-- index can be searched by it.

-- name: look_ahead
-- in:  $1 shard smallint
-- out: the clock; oldest_at: the earliest instant at which anything is or will be due; next_at: the earliest that is
--      still to come. Null: there is none
-- why: while nothing is due, the keeper needs no other statement
WITH clock AS MATERIALIZED (
    SELECT ledger_now() AS now
)
SELECT clock.now,
       least(
           (SELECT next_due_at FROM wallets
             WHERE shard = $1 AND next_due_at IS NOT NULL
             ORDER BY next_due_at LIMIT 1),
           (SELECT next_at FROM programme_wallets
             WHERE shard = $1 AND next_at IS NOT NULL
             ORDER BY next_at LIMIT 1)
       ) AS oldest_at,
       least(
           (SELECT next_due_at FROM wallets
             WHERE shard = $1 AND next_due_at > clock.now
             ORDER BY next_due_at LIMIT 1),
           (SELECT next_at FROM programme_wallets
             WHERE shard = $1 AND next_at > clock.now
             ORDER BY next_at LIMIT 1)
       ) AS next_at
  FROM clock;

-- name: find_due_wallets
-- in:  $1 shard smallint, $2 ids uuid[] to leave out, $3 rows at most
-- out: wallets where a hold or a lot may be due, the longest due first
-- why: there is no tie-break, so that a million lots that expire at one instant are not sorted for each page; posted
--      steps leave
SELECT id, next_due_at AS due_at
  FROM wallets
 WHERE shard = $1 AND next_due_at <= (SELECT ledger_now()) AND id <> ALL($2::uuid[])
 ORDER BY next_due_at
 LIMIT $3;

-- name: find_due_grants
-- in:  $1 shard smallint, $2 ids uuid[] of wallets to leave out, $3 rows at most
-- out: attachments with a period that has started, the longest due first; is_over: it starts too late to be granted
WITH due AS MATERIALIZED (
    SELECT programme_id, wallet_id, next_period, next_at
      FROM programme_wallets
     WHERE shard = $1 AND next_at <= (SELECT ledger_now()) AND wallet_id <> ALL($2::uuid[])
     ORDER BY next_at
     LIMIT $3
)
SELECT w.programme_id, w.wallet_id, w.next_period AS period, w.next_at AS starts_at, a.code AS asset_code, p.amount,
       p.rollover_max, p.category, p.priority, p.expires_in_seconds, coalesce(w.next_at >= p.ends_at, false) AS is_over
  FROM due AS w
  JOIN programmes AS p ON p.shard = $1 AND p.id = w.programme_id
  JOIN assets AS a ON a.id = p.asset_id
 ORDER BY w.next_at;

-- name: find_due_grant
-- in:  $1 shard smallint, $2 programme uuid, $3 wallet uuid
-- out: the first period of this attachment if it has not been granted, or no row
SELECT w.programme_id, w.wallet_id, w.next_period AS period, w.next_at AS starts_at, a.code AS asset_code, p.amount,
       p.rollover_max, p.category, p.priority, p.expires_in_seconds, coalesce(w.next_at >= p.ends_at, false) AS is_over
  FROM programme_wallets AS w
  JOIN programmes AS p ON p.shard = w.shard AND p.id = w.programme_id
  JOIN assets AS a ON a.id = p.asset_id
 WHERE w.shard = $1 AND w.programme_id = $2 AND w.wallet_id = $3 AND w.next_period = 0
   AND w.next_at <= (SELECT ledger_now());

-- name: stop_attachments
-- in:  $1 shard smallint, $2 programmes uuid[], $3 wallets uuid[], pair by pair
-- out: nothing
-- why: a programme that has ended grants nothing any more, and its attachments must not stay due. An attachment that
--      another session has locked is skipped: the next look finds it again
WITH over AS MATERIALIZED (
    SELECT w.programme_id, w.wallet_id
      FROM unnest($2::uuid[], $3::uuid[]) AS wanted (programme_id, wallet_id)
      JOIN programme_wallets AS w
        ON w.shard = $1 AND w.programme_id = wanted.programme_id AND w.wallet_id = wanted.wallet_id
      JOIN programmes AS p ON p.shard = w.shard AND p.id = w.programme_id
     WHERE w.next_at >= p.ends_at
       FOR NO KEY UPDATE OF w SKIP LOCKED
)
UPDATE programme_wallets
   SET next_at = NULL
  FROM over
 WHERE programme_wallets.shard = $1
   AND programme_wallets.programme_id = over.programme_id
   AND programme_wallets.wallet_id = over.wallet_id;
