-- Unlocked wallets: the deltas of batches, and the snapshots of a keeper. ledger.sql explains the form of these
-- statements.

-- name: check_strays
-- in:  $1 shard
-- why: it finds deltas and snapshots of wallets that are not unlocked ones; each wallet is one step through the index
WITH RECURSIVE netted AS (
    (SELECT wallet_id, seq FROM system_deltas WHERE shard = $1 ORDER BY wallet_id, seq LIMIT 1)
    UNION ALL
    SELECT next.wallet_id, next.seq
      FROM netted
     CROSS JOIN LATERAL (
            SELECT wallet_id, seq
              FROM system_deltas
             WHERE shard = $1 AND wallet_id > netted.wallet_id
             ORDER BY wallet_id, seq
             LIMIT 1
           ) AS next
),
kept AS (
    (SELECT wallet_id, upto_seq FROM system_snapshots WHERE shard = $1 ORDER BY wallet_id, upto_seq LIMIT 1)
    UNION ALL
    SELECT next.wallet_id, next.upto_seq
      FROM kept
     CROSS JOIN LATERAL (
            SELECT wallet_id, upto_seq
              FROM system_snapshots
             WHERE shard = $1 AND wallet_id > kept.wallet_id
             ORDER BY wallet_id, upto_seq
             LIMIT 1
           ) AS next
)
(SELECT 2 AS law, 'delta_has_its_wallet' AS check_name,
        format('system_deltas (shard %s, wallet_id %s, seq %s)', $1, wallet_id, seq) AS location,
        'an unlocked wallet' AS expected, coalesce(wallet.kind, 'none') AS found
   FROM netted
   LEFT JOIN LATERAL (
         SELECT kind, locked FROM wallets WHERE shard = $1 AND id = netted.wallet_id OFFSET 0
        ) AS wallet ON true
  WHERE wallet.locked IS NOT false
  ORDER BY wallet_id LIMIT 1)
UNION ALL
(SELECT 2, 'snapshot_has_its_wallet',
        format('system_snapshots (shard %s, wallet_id %s, upto_seq %s)', $1, wallet_id, upto_seq),
        'an unlocked wallet', coalesce(wallet.kind, 'none')
   FROM kept
   LEFT JOIN LATERAL (
         SELECT kind, locked FROM wallets WHERE shard = $1 AND id = kept.wallet_id OFFSET 0
        ) AS wallet ON true
  WHERE wallet.locked IS NOT false
  ORDER BY wallet_id LIMIT 1);

-- name: unlocked_wallets
-- in:  $1 shard
SELECT id FROM wallets WHERE shard = $1 AND NOT locked ORDER BY id;

-- name: next_deltas
-- in:  $1 shard, $2 wallet id, $3 after seq or null, $4 how many entries
-- out: ranges end at a batch's end, so the last batch may bring more entries than asked for
SELECT count(*) AS rows, max(position) >> 20 AS seq
  FROM (
        SELECT position
          FROM ledger_entries
         WHERE shard = $1 AND wallet_id = $2 AND ($3::bigint IS NULL OR position > ($3 << 20 | 1048575))
         ORDER BY position
         LIMIT $4
       ) AS next;

-- name: check_deltas
-- in:  $1 shard, $2 wallet id, $3 after seq, $4 up to seq
WITH entered AS (
    SELECT position >> 20 AS seq, sum(direction * amount::numeric) AS amount
      FROM ledger_entries
     WHERE shard = $1 AND wallet_id = $2
       AND ($3::bigint IS NULL OR position > ($3 << 20 | 1048575))
       AND ($4::bigint IS NULL OR position <= ($4 << 20 | 1048575))
     GROUP BY position >> 20
),
netted AS (
    SELECT seq, amount
      FROM system_deltas
     WHERE shard = $1 AND wallet_id = $2
       AND ($3::bigint IS NULL OR seq > $3)
       AND ($4::bigint IS NULL OR seq <= $4)
),
judged AS MATERIALIZED (
    SELECT both_sides.seq, both_sides.entered, both_sides.netted, batch.seq AS batch_seq
      FROM (
            SELECT coalesce(entered.seq, netted.seq) AS seq, entered.amount AS entered, netted.amount AS netted
              FROM entered
              FULL JOIN netted ON netted.seq = entered.seq
           ) AS both_sides
      LEFT JOIN LATERAL (
            SELECT seq FROM batches WHERE shard = $1 AND seq = both_sides.seq OFFSET 0
           ) AS batch ON true
)
(SELECT 2 AS law, 'delta_is_the_sum_of_its_entries' AS check_name,
        format('system_deltas (shard %s, wallet_id %s, seq %s)', $1, $2, seq) AS location,
        coalesce(entered::text, 'none') AS expected, coalesce(netted::text, 'none') AS found
   FROM judged WHERE netted IS DISTINCT FROM entered ORDER BY seq LIMIT 1)
UNION ALL
(SELECT 2, 'delta_has_its_batch', format('system_deltas (shard %s, wallet_id %s, seq %s)', $1, $2, seq),
        format('batch %s', seq), 'none'
   FROM judged WHERE netted IS NOT NULL AND batch_seq IS NULL ORDER BY seq LIMIT 1);

-- name: next_snapshots
-- in:  $1 shard, $2 wallet id, $3 after upto_seq or null, $4 how many
SELECT count(*) AS rows, max(upto_seq) AS upto_seq
  FROM (
        SELECT upto_seq
          FROM system_snapshots
         WHERE shard = $1 AND wallet_id = $2 AND ($3::bigint IS NULL OR upto_seq > $3)
         ORDER BY upto_seq
         LIMIT $4
       ) AS next;

-- name: check_snapshots
-- in:  $1 shard, $2 wallet id, $3 after upto_seq, $4 up to upto_seq
-- why: it goes from snapshot to snapshot, so that each delta is read once
WITH along AS (
    SELECT upto_seq, balance, lag(upto_seq) OVER chain AS seq_before, lag(balance) OVER chain AS balance_before
      FROM system_snapshots
     WHERE shard = $1 AND wallet_id = $2
       AND ($3::bigint IS NULL OR upto_seq >= $3)
       AND ($4::bigint IS NULL OR upto_seq <= $4)
    WINDOW chain AS (ORDER BY upto_seq)
),
judged AS MATERIALIZED (
    SELECT along.upto_seq, along.balance, coalesce(along.balance_before, 0) + since.amount AS balance_expected,
           watermark.seq AS watermark_seq
      FROM along
     CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount), 0) AS amount
              FROM system_deltas
             WHERE shard = $1 AND wallet_id = $2
               AND (along.seq_before IS NULL OR seq > along.seq_before)
               AND seq <= along.upto_seq
           ) AS since
      LEFT JOIN watermarks AS watermark ON watermark.shard = $1
     WHERE $3::bigint IS NULL OR along.upto_seq > $3
)
(SELECT 2 AS law, 'snapshot_is_the_sum_of_deltas' AS check_name,
        format('system_snapshots (shard %s, wallet_id %s, upto_seq %s)', $1, $2, upto_seq) AS location,
        balance_expected::text AS expected, balance::text AS found
   FROM judged WHERE balance <> balance_expected ORDER BY upto_seq LIMIT 1)
UNION ALL
(SELECT 2, 'snapshot_is_stable',
        format('system_snapshots (shard %s, wallet_id %s, upto_seq %s)', $1, $2, upto_seq),
        format('up to the watermark %s at most', coalesce(watermark_seq::text, '(none)')), upto_seq::text
   FROM judged WHERE upto_seq > coalesce(watermark_seq, 0) ORDER BY upto_seq LIMIT 1);
