-- Snapshots of unlocked wallets. A stopped leader may append beside a new one: both append the same rows.

-- name: append_snapshots
-- in:  $1 shard smallint, $2 how many deltas are worth a snapshot
-- out: a row per snapshot appended
-- why: a snapshot goes up to the watermark, before which no delta can appear any more; so two leaders can only append
--      the same rows
INSERT INTO system_snapshots (upto_seq, created_at, shard, wallet_id, balance)
SELECT watermark.seq, clock_timestamp(), watermark.shard, wallet.id, coalesce(latest.balance, 0) + later.amount
  FROM watermarks AS watermark
 CROSS JOIN assets
 CROSS JOIN LATERAL unnest(ARRAY[treasury_wallet_id, revenue_wallet_id, breakage_wallet_id]) AS wallet (id)
  LEFT JOIN LATERAL (
        SELECT upto_seq, balance
          FROM system_snapshots
         WHERE shard = $1 AND wallet_id = wallet.id
         ORDER BY upto_seq DESC
         LIMIT 1
       ) AS latest ON true
 CROSS JOIN LATERAL (
        SELECT count(*) AS deltas, sum(amount) AS amount
          FROM system_deltas
         WHERE shard = $1 AND wallet_id = wallet.id
           AND seq > coalesce(latest.upto_seq, 0) AND seq <= watermark.seq
       ) AS later
 WHERE watermark.shard = $1 AND later.deltas >= $2
ON CONFLICT DO NOTHING
RETURNING wallet_id;
