-- The parts of a receipt besides the leaves of its batch (chain.sql).

-- name: find_link
-- in:  $1 shard smallint, $2 transaction id uuid
-- out: the transaction's batch, its link and the hash of the one before (null: none), and the chain's end; no row
--      without such a transaction; height is null as long as its batch is not sealed
SELECT b.seq, b.id, b.created_at, b.transactions, b.root, link.height, link.hash, before.hash AS previous,
       last.height AS chain_height, last.hash AS chain_hash
  FROM transactions AS t
  JOIN batches AS b ON b.shard = t.shard AND b.seq = t.seq
  LEFT JOIN seals AS link ON link.shard = b.shard AND link.seq = b.seq
  LEFT JOIN seals AS before ON before.shard = link.shard AND before.height = link.height - 1
  LEFT JOIN LATERAL (
        SELECT height, hash FROM seals WHERE shard = $1 ORDER BY height DESC LIMIT 1
       ) AS last ON true
 WHERE t.shard = $1 AND t.id = $2;
