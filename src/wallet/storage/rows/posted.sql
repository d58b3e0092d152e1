-- The parts of a posted transaction besides its own row.

-- name: load_entries
-- in:  $1 shard smallint, $2 transaction ids uuid[]
-- out: their entries, in order of leg within each
SELECT e.transaction_id, e.leg, e.wallet_id, e.asset_id, e.direction, e.amount, e.position, e.balance_after
  FROM unnest($2::uuid[]) AS wanted (id)
 CROSS JOIN LATERAL (
        SELECT transaction_id, leg, wallet_id, asset_id, direction, amount, position, balance_after
          FROM ledger_entries
         WHERE shard = $1 AND transaction_id = wanted.id
        OFFSET 0
       ) AS e
 ORDER BY e.transaction_id, e.leg;
