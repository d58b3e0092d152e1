-- What edges may ask. Every list is keyset-paged: a null key is its beginning, and one row more than a page holds
-- tells whether there is a next one.

-- name: find_user
-- in:  $1 shard smallint, $2 id uuid
-- out: the user, or no row
SELECT id, name, created_at
  FROM users
 WHERE shard = $1 AND id = $2;

-- name: find_wallet
-- in:  $1 shard smallint, $2 id uuid
-- out: the wallet, or no row
SELECT w.id, w.kind, w.asset_id, a.code AS asset_code, w.user_id, w.label, w.created_at
  FROM wallets AS w
  JOIN assets AS a ON a.id = w.asset_id
 WHERE w.shard = $1 AND w.id = $2;

-- name: list_wallets_of_user
-- in:  $1 shard smallint, $2 user uuid, $3 last id seen uuid or null, $4 rows at most
-- out: the user's wallets, ascending id
SELECT w.id, w.kind, w.asset_id, a.code AS asset_code, w.user_id, w.label, w.created_at
  FROM wallets AS w
  JOIN assets AS a ON a.id = w.asset_id
 WHERE w.shard = $1
   AND w.user_id = $2
   AND ($3::uuid IS NULL OR w.id > $3::uuid)
 ORDER BY w.id
 LIMIT $4;

-- name: list_assets
-- in:  $1 shard smallint, $2 the one wanted integer or null, $3 last id seen integer or null, $4 rows at most
-- out: assets in order of id, with the balances of their system wallets as numeric
-- why: the same sum for both kinds of system wallet: a locked one has no deltas, the balance of an unlocked row is
--      zero. One snapshot for all three, so that they belong together
SELECT a.id, a.code, a.scale, a.max_supply, a.treasury_wallet_id, a.revenue_wallet_id, a.breakage_wallet_id,
       a.created_at, b.treasury, b.revenue, b.breakage
  FROM assets AS a
 CROSS JOIN LATERAL (
        SELECT sum(s.balance) FILTER (WHERE s.kind = 'treasury') AS treasury,
               sum(s.balance) FILTER (WHERE s.kind = 'revenue') AS revenue,
               sum(s.balance) FILTER (WHERE s.kind = 'breakage') AS breakage
          FROM (
                SELECT w.kind,
                       w.balance + coalesce(latest.balance, 0) + coalesce((
                           SELECT sum(d.amount)
                             FROM system_deltas AS d
                            WHERE d.shard = w.shard
                              AND d.wallet_id = w.id
                              AND d.seq > coalesce(latest.upto_seq, 0)
                       ), 0) AS balance
                  FROM wallets AS w
                  LEFT JOIN LATERAL (
                        SELECT snapshot.upto_seq, snapshot.balance
                          FROM system_snapshots AS snapshot
                         WHERE snapshot.shard = w.shard AND snapshot.wallet_id = w.id
                         ORDER BY snapshot.upto_seq DESC
                         LIMIT 1
                       ) AS latest ON true
                 WHERE w.shard = $1
                   AND w.id IN (a.treasury_wallet_id, a.revenue_wallet_id, a.breakage_wallet_id)
               ) AS s
       ) AS b
 WHERE ($2::integer IS NULL OR a.id = $2::integer)
   AND ($3::integer IS NULL OR a.id > $3::integer)
 ORDER BY a.id
 LIMIT $4;

-- name: find_balances
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: a row per wallet that exists, in no order. Version null and balance_unlocked set: it is never locked
-- why: one statement, so one snapshot: the latest snapshot of a system wallet and the deltas after it fit together
--      however late the keeper is. as_of is the clock just before the database took its snapshot: all that was
--      committed by then is in. Adding balance and limit is left to the caller, whose integers do not overflow
SELECT w.id, a.code, a.scale, w.balance, w.held, w.overdraft_limit,
       CASE WHEN w.locked THEN w.version END AS version,
       now() AS as_of,
       CASE WHEN NOT w.locked THEN (
           SELECT coalesce(latest.balance, 0) + coalesce((
                      SELECT sum(d.amount)
                        FROM system_deltas AS d
                       WHERE d.shard = w.shard
                         AND d.wallet_id = w.id
                         AND d.seq > coalesce(latest.upto_seq, 0)
                  ), 0)
             FROM (SELECT) AS once
             LEFT JOIN LATERAL (
                   SELECT snapshot.upto_seq, snapshot.balance
                     FROM system_snapshots AS snapshot
                    WHERE snapshot.shard = w.shard AND snapshot.wallet_id = w.id
                    ORDER BY snapshot.upto_seq DESC
                    LIMIT 1
                  ) AS latest ON true
       ) END AS balance_unlocked
  FROM wallets AS w
  JOIN assets AS a ON a.id = w.asset_id
 WHERE w.shard = $1 AND w.id = ANY($2::uuid[]);

-- name: list_transactions
-- in:  $1 shard smallint, $2 the one wanted uuid or null, $3 reference_id text or null, $4 last id seen uuid or null,
--      $5 rows at most, $6 rows to skip
-- out: transactions of all origins, newest first: descending id, which is close to the order of time
SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at
  FROM transactions
 WHERE shard = $1
   AND ($2::uuid IS NULL OR id = $2::uuid)
   AND ($3::text IS NULL OR reference_id = $3::text)
   AND ($4::uuid IS NULL OR id < $4::uuid)
 ORDER BY id DESC
 LIMIT $5 OFFSET $6;

-- name: list_entries
-- in:  $1 shard smallint, $2 last transaction seen uuid or null, $3 its last leg seen smallint, $4 rows at most,
--      $5 rows to skip
-- out: entries of all wallets, newest transaction first, in order of leg within one
-- why: the first condition is implied by the second, and is the one an index can use
SELECT e.transaction_id, e.leg, e.position, e.wallet_id, a.code AS asset_code, e.direction, e.amount,
       e.balance_after, e.created_at
  FROM ledger_entries AS e
  JOIN assets AS a ON a.id = e.asset_id
 WHERE e.shard = $1
   AND ($2::uuid IS NULL OR e.transaction_id <= $2::uuid)
   AND ($2::uuid IS NULL OR e.transaction_id < $2::uuid OR e.leg > $3::smallint)
 ORDER BY e.transaction_id DESC, e.leg
 LIMIT $4 OFFSET $5;

-- name: list_entries_of_wallet
-- in:  $1 shard smallint, $2 wallet uuid, $3 last position seen bigint or null, $4 rows at most
-- out: the wallet's entries, newest first: descending position, which is exactly the order they were posted in
SELECT e.transaction_id, e.leg, e.position, e.wallet_id, a.code AS asset_code, e.direction, e.amount,
       e.balance_after, e.created_at
  FROM ledger_entries AS e
  JOIN assets AS a ON a.id = e.asset_id
 WHERE e.shard = $1
   AND e.wallet_id = $2
   AND ($3::bigint IS NULL OR e.position < $3::bigint)
 ORDER BY e.position DESC
 LIMIT $4;

-- name: list_declines
-- in:  $1 shard smallint, $2 reference_id text, $3 last id seen bigint or null, $4 rows at most
-- out: refusals of requests with this reference, of all origins, newest first
SELECT id, created_at, wallet_id, origin, reference_id, type, code, required, available
  FROM declines
 WHERE shard = $1
   AND reference_id = $2
   AND ($3::bigint IS NULL OR id < $3::bigint)
 ORDER BY id DESC
 LIMIT $4;

-- name: find_secret
-- in:  $1 name text
-- out: the secret that all processes share, or no row
SELECT secret
  FROM service_secrets
 WHERE name = $1;
