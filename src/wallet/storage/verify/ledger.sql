-- The laws of the ledger, checked on one snapshot. A check_ statement answers, for one range of keys, the first
-- wrong row of each of its checks: law, check_name, location, expected, found. A range is (after, up to], null:
-- without end; a next_ statement answers how many rows the next range has (fewer than asked: the last) and its last
-- key. Sums are numeric, because what is checked may be anything.

-- name: lift_limits
-- why: a verification may take long, and has no lock that others wait for. Not every version of PostgreSQL has all of
--      these settings
SELECT set_config(name, '0', false)
  FROM pg_settings
 WHERE name IN (
        'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
        'transaction_timeout'
       );

-- name: begin
-- why: all statements see one snapshot; a read-only transaction takes no xid, so it holds no fence back
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;  -- noqa: PRS

-- name: savepoint
-- why: a row that cannot be read ends its statement, but must not end the verification
SAVEPOINT unspoiled;

-- name: return_to_savepoint
-- why: it also restores the settings of the savepoint
ROLLBACK TO SAVEPOINT unspoiled;

-- name: read_whole_tables
-- in:  $1 'on' or 'off'
-- why: these are off for all reads by ranges, which leaves index scans. If one range were misjudged and read as a whole
--      table, or sorted with all later rows, the time would be quadratic
SELECT set_config(name, $1, true) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan']) AS name;

-- name: estimate_rows
-- out: about how many rows the tables have; 0: unknown
SELECT relname AS table_name, greatest(reltuples, 0)::bigint AS rows
  FROM pg_class
 WHERE oid IN (
        'wallets'::regclass, 'transactions'::regclass, 'ledger_entries'::regclass, 'hold_steps'::regclass,
        'wallet_events'::regclass, 'holds'::regclass, 'lots'::regclass, 'refund_states'::regclass,
        'backdated_entries'::regclass, 'programme_wallets'::regclass, 'batches'::regclass
       );

-- name: next_shard
-- in:  $1 shard or null
-- out: the next shard that any table knows, or null
SELECT least(
        (SELECT min(shard) FROM users WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM wallets WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM batches WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM transactions WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM ledger_entries WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM hold_steps WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM wallet_events WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM holds WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM claims WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM claim_redemptions WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM lots WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM lot_moves WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM refund_states WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM backdated_entries WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM programmes WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM programme_wallets WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM system_deltas WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM system_snapshots WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM watermarks WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM seals WHERE $1::smallint IS NULL OR shard > $1)
       ) AS shard;

-- name: count_assets
-- out: how many there are, for the progress bar
SELECT count(*) AS rows FROM assets;

-- name: check_assets
-- in:  $1 shard
-- why: system wallets have a row per shard; law 3 relies on the row of a capped treasury
WITH judged AS MATERIALIZED (
    SELECT assets.id, assets.max_supply, named.kind, named.wallet_id, wallet.id IS NOT NULL AS is_there,
           wallet.balance, wallet.overdraft_limit
      FROM assets
     CROSS JOIN LATERAL (
            VALUES ('treasury', treasury_wallet_id), ('revenue', revenue_wallet_id),
                   ('breakage', breakage_wallet_id)
           ) AS named (kind, wallet_id)
      LEFT JOIN LATERAL (
            SELECT id, balance, overdraft_limit
              FROM wallets
             WHERE shard = $1 AND id = named.wallet_id AND asset_id = assets.id AND kind = named.kind
            OFFSET 0
           ) AS wallet ON true
)
(SELECT 2 AS law, 'asset_has_its_system_wallets' AS check_name, format('assets (id %s)', id) AS location,
        format('%s wallet %s of this asset in shard %s', kind, wallet_id, $1) AS expected, 'none' AS found
   FROM judged WHERE NOT is_there ORDER BY id, kind LIMIT 1)
UNION ALL
(SELECT 3, 'treasury_is_within_its_cap', format('wallets (shard %s, id %s)', $1, wallet_id),
        format('a balance of at least -%s', max_supply), balance::text
   FROM judged WHERE kind = 'treasury' AND balance::numeric < -max_supply ORDER BY id LIMIT 1)
UNION ALL
(SELECT 3, 'treasury_limit_is_its_cap', format('wallets (shard %s, id %s)', $1, wallet_id),
        format('an overdraft_limit of %s', max_supply), overdraft_limit::text
   FROM judged WHERE kind = 'treasury' AND overdraft_limit <> max_supply ORDER BY id LIMIT 1);

-- name: count_batches
-- in:  $1 shard
SELECT count(*) AS rows FROM batches WHERE shard = $1;

-- name: check_batches
-- in:  $1 shard
-- why: transactions have no index by seq, so this is one pass over them; the server sorts within its work_mem
WITH counted AS (
    SELECT seq, count(*) AS transactions FROM transactions WHERE shard = $1 GROUP BY seq
)
SELECT 4 AS law, 'batch_has_its_transactions' AS check_name,
       format('batches (shard %s, seq %s)', $1, batch.seq) AS location,
       format('%s transactions', batch.transactions) AS expected, coalesce(counted.transactions, 0)::text AS found
  FROM batches AS batch
  LEFT JOIN counted ON counted.seq = batch.seq
 WHERE batch.shard = $1 AND batch.transactions <> coalesce(counted.transactions, 0)
 ORDER BY batch.seq
 LIMIT 1;

-- name: check_sums
-- why: over all shards. This follows from the checks above, but does not rely on them
WITH amounts AS (
    SELECT asset_id, sum(balance) AS amount FROM wallets WHERE locked GROUP BY asset_id
    UNION ALL
    SELECT wallet.asset_id, netted.amount
      FROM (SELECT shard, wallet_id, sum(amount) AS amount FROM system_deltas GROUP BY shard, wallet_id) AS netted
      JOIN wallets AS wallet ON wallet.shard = netted.shard AND wallet.id = netted.wallet_id
)
SELECT 1 AS law, 'wallets_of_an_asset_sum_to_zero' AS check_name, format('assets (id %s)', asset_id) AS location,
       '0' AS expected, sum(amount)::text AS found
  FROM amounts
 GROUP BY asset_id
HAVING sum(amount) <> 0
 ORDER BY asset_id
 LIMIT 1;
