-- Laws 1 to 4 of the ledger, checked on one snapshot. A check_ statement answers, for one range of keys, the first
-- wrong row of each of its checks: law, check_name, location, expected, found. A range is (after, up to], null:
-- without end; a next_ statement answers how many rows the next range has (fewer than asked: the last) and its last
-- key. Sums are numeric, because what is checked may be anything.

-- name: lift_limits
-- why: a verification takes as long as it takes, and holds no lock that anybody waits for. Not every version has
--      all of these settings
SELECT set_config(name, '0', false)
  FROM pg_settings
 WHERE name IN (
        'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
        'transaction_timeout'
       );

-- name: begin
-- why: one snapshot for everything; read-only, it takes no xid and so holds no fence back
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;  -- noqa: PRS

-- name: read_whole_tables
-- in:  $1 'on' or 'off'
-- why: off for all that goes by ranges, which leaves index scans: one range misjudged and read as a whole table, or
--      sorted with all that follows it, and the time is quadratic
SELECT set_config(name, $1, true) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan']) AS name;

-- name: estimate_rows
-- out: about how many rows the tables have, 0: unknown
SELECT relname AS table_name, greatest(reltuples, 0)::bigint AS rows
  FROM pg_class
 WHERE oid IN (
        'wallets'::regclass, 'transactions'::regclass, 'ledger_entries'::regclass, 'batches'::regclass
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
        (SELECT min(shard) FROM system_deltas WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM system_snapshots WHERE $1::smallint IS NULL OR shard > $1),
        (SELECT min(shard) FROM watermarks WHERE $1::smallint IS NULL OR shard > $1)
       ) AS shard;

-- name: count_assets
-- out: how many there are, for the progress bar
SELECT count(*) AS rows FROM assets;

-- name: check_assets
-- in:  $1 shard
-- why: system wallets have a row per shard; law 3 rests on what a capped treasury's row says
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

-- name: next_wallets
-- in:  $1 shard, $2 after id or null, $3 how many
SELECT count(*) AS rows, (array_agg(id ORDER BY id DESC))[1] AS id
  FROM (
        SELECT id FROM wallets WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
       ) AS next;

-- name: check_wallets
-- in:  $1 shard, $2 after id, $3 up to id
-- why: check_entries proves that balances follow along a wallet's entries, so the last one's is their sum
WITH judged AS MATERIALIZED (
    SELECT wallet.id, wallet.locked, wallet.balance, wallet.held, wallet.version, wallet.overdraft_limit,
           wallet.last_entry_at, wallet.asset_id, wallet.user_id, wallet.kind,
           assets.id AS known_asset_id, owner.id AS known_user_id,
           wallet.kind = 'user' OR (wallet.kind = 'treasury' AND assets.max_supply IS NOT NULL) AS must_lock,
           last.position AS entry_position, last.balance_after AS entry_balance, last.created_at AS entry_at
      FROM wallets AS wallet
      LEFT JOIN assets ON assets.id = wallet.asset_id
      LEFT JOIN LATERAL (
            SELECT id FROM users WHERE shard = wallet.shard AND id = wallet.user_id OFFSET 0
           ) AS owner ON true
      LEFT JOIN LATERAL (
            SELECT position, balance_after, created_at
              FROM ledger_entries
             WHERE shard = wallet.shard AND wallet_id = wallet.id
             ORDER BY position DESC
             LIMIT 1
           ) AS last ON wallet.locked
     WHERE wallet.shard = $1
       AND ($2::uuid IS NULL OR wallet.id > $2)
       AND ($3::uuid IS NULL OR wallet.id <= $3)
)
(SELECT 2 AS law, 'wallet_has_its_asset' AS check_name, format('wallets (shard %s, id %s)', $1, id) AS location,
        format('asset %s', asset_id) AS expected, 'none' AS found
   FROM judged WHERE known_asset_id IS NULL ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'wallet_has_its_user', format('wallets (shard %s, id %s)', $1, id), format('user %s', user_id), 'none'
   FROM judged WHERE user_id IS NOT NULL AND known_user_id IS NULL ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'balance_is_the_sum_of_entries', format('wallets (shard %s, id %s)', $1, id),
        coalesce(entry_balance, 0)::text, balance::text
   FROM judged WHERE locked AND balance <> coalesce(entry_balance, 0) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'unlocked_wallet_carries_nothing', format('wallets (shard %s, id %s)', $1, id),
        'balance 0, version 0', format('balance %s, version %s', balance, version)
   FROM judged WHERE NOT locked AND (balance <> 0 OR version <> 0) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'held_is_the_sum_of_open_holds', format('wallets (shard %s, id %s)', $1, id), '0', held::text
   FROM judged WHERE held <> 0 ORDER BY id LIMIT 1)
UNION ALL
(SELECT 3, 'wallet_is_locked_by_its_kind', format('wallets (shard %s, id %s)', $1, id),
        format('locked = %s for a %s wallet', must_lock, kind), format('locked = %s', locked)
   FROM judged WHERE locked <> must_lock ORDER BY id LIMIT 1)
UNION ALL
(SELECT 3, 'available_is_not_below_zero', format('wallets (shard %s, id %s)', $1, id),
        'an available of at least 0', (balance::numeric - held + overdraft_limit)::text
   FROM judged WHERE balance::numeric - held + overdraft_limit < 0 ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'version_is_that_of_the_last_entry', format('wallets (shard %s, id %s)', $1, id),
        coalesce(entry_position, 0)::text, version::text
   FROM judged WHERE locked AND version <> coalesce(entry_position, 0) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'last_entry_at_is_that_of_the_last_entry', format('wallets (shard %s, id %s)', $1, id),
        coalesce(entry_at::text, 'null'), coalesce(last_entry_at::text, 'null')
   FROM judged WHERE locked AND last_entry_at IS DISTINCT FROM entry_at ORDER BY id LIMIT 1);

-- name: next_transactions
-- in:  $1 shard, $2 after id or null, $3 how many
SELECT count(*) AS rows, (array_agg(id ORDER BY id DESC))[1] AS id
  FROM (
        SELECT id FROM transactions WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
       ) AS next;

-- name: check_transactions
-- in:  $1 shard, $2 after id, $3 up to id
-- why: OFFSET 0 keeps the planner from other plans. Entries are found by their transaction and nothing else, batches
--      by one probe per transaction, since they have no range here
WITH netted AS (
    SELECT transaction_id, asset_id, count(*) AS entries, sum(direction * amount::numeric) AS net
      FROM (
            SELECT *
              FROM ledger_entries
             WHERE ($2::uuid IS NULL OR transaction_id > $2) AND ($3::uuid IS NULL OR transaction_id <= $3)
            OFFSET 0
           ) AS e
     WHERE shard = $1
     GROUP BY transaction_id, asset_id
),
summed AS (
    SELECT transaction_id, sum(entries) AS entries,
           string_agg(format('%s of asset %s', net, asset_id), ', ' ORDER BY asset_id) FILTER (WHERE net <> 0) AS rest
      FROM netted
     GROUP BY transaction_id
),
judged AS MATERIALIZED (
    SELECT t.id, t.seq, t.created_at, coalesce(summed.entries, 0) AS entries, summed.rest,
           batch.seq AS batch_seq, batch.created_at AS batch_at
      FROM transactions AS t
      LEFT JOIN summed ON summed.transaction_id = t.id
      LEFT JOIN LATERAL (
            SELECT seq, created_at FROM batches WHERE shard = t.shard AND seq = t.seq OFFSET 0
           ) AS batch ON true
     WHERE t.shard = $1 AND ($2::uuid IS NULL OR t.id > $2) AND ($3::uuid IS NULL OR t.id <= $3)
)
(SELECT 1 AS law, 'credits_equal_debits' AS check_name, format('transactions (shard %s, id %s)', $1, id) AS location,
        'credits - debits = 0 in each asset' AS expected, rest AS found
   FROM judged WHERE rest IS NOT NULL ORDER BY id LIMIT 1)
UNION ALL
(SELECT 1, 'transaction_has_entries', format('transactions (shard %s, id %s)', $1, id),
        'at least 2 entries', entries::text
   FROM judged WHERE entries < 2 ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'transaction_has_its_batch', format('transactions (shard %s, id %s)', $1, id),
        format('batch %s', seq), 'none'
   FROM judged WHERE batch_seq IS NULL ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'transaction_has_the_time_of_its_batch', format('transactions (shard %s, id %s)', $1, id),
        batch_at::text, created_at::text
   FROM judged WHERE created_at <> batch_at ORDER BY id LIMIT 1);

-- name: check_entries_of_transactions
-- in:  $1 shard, $2 after transaction id, $3 up to transaction id
WITH judged AS MATERIALIZED (
    SELECT e.wallet_id, e.position, e.transaction_id, e.created_at, e.balance_after,
           t.id AS known_transaction_id, t.created_at AS transaction_at, t.seq
      FROM (
            SELECT *
              FROM ledger_entries
             WHERE ($2::uuid IS NULL OR transaction_id > $2) AND ($3::uuid IS NULL OR transaction_id <= $3)
            OFFSET 0
           ) AS e
      LEFT JOIN transactions AS t
        ON t.shard = $1
       AND t.id = e.transaction_id
       AND ($2::uuid IS NULL OR t.id > $2)
       AND ($3::uuid IS NULL OR t.id <= $3)
     WHERE e.shard = $1
)
(SELECT 1 AS law, 'entry_has_its_transaction' AS check_name,
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position) AS location,
        format('transaction %s', transaction_id) AS expected, 'none' AS found
   FROM judged WHERE known_transaction_id IS NULL ORDER BY transaction_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'entry_has_the_time_of_its_transaction',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        transaction_at::text, created_at::text
   FROM judged WHERE created_at <> transaction_at ORDER BY transaction_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'unlocked_entry_is_in_its_batch',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('a position of batch %s', seq), format('of batch %s', position >> 20)
   FROM judged WHERE balance_after IS NULL AND position >> 20 <> seq
  ORDER BY transaction_id, wallet_id, position LIMIT 1);

-- name: next_entries
-- in:  $1 shard, $2 after wallet id or null, $3 and position or null, $4 how many
SELECT count(*) AS rows, (array_agg(wallet_id ORDER BY wallet_id DESC, position DESC))[1] AS wallet_id,
       (array_agg(position ORDER BY wallet_id DESC, position DESC))[1] AS position
  FROM (
        SELECT wallet_id, position
          FROM ledger_entries
         WHERE shard = $1 AND ($2::uuid IS NULL OR (wallet_id, position) > ($2, $3::bigint))
         ORDER BY wallet_id, position
         LIMIT $4
       ) AS next;

-- name: check_entries
-- in:  $1 shard, $2 after wallet id, $3 and position, $4 up to wallet id, $5 and position
-- why: the row before the range is read with it, so that the chain goes on from range to range
WITH along AS (
    SELECT wallet_id, position, balance_after, created_at, asset_id, direction * amount::numeric AS change,
           lag(position) OVER chain AS position_before,
           lag(balance_after) OVER chain AS balance_before,
           lag(created_at) OVER chain AS created_before
      FROM ledger_entries
     WHERE shard = $1
       AND ($2::uuid IS NULL OR (wallet_id, position) >= ($2, $3::bigint))
       AND ($4::uuid IS NULL OR (wallet_id, position) <= ($4, $5::bigint))
    WINDOW chain AS (PARTITION BY wallet_id ORDER BY position)
),
judged AS MATERIALIZED (
    SELECT along.*, coalesce(along.position_before, 0) + 1 AS position_expected,
           coalesce(along.balance_before, 0) + along.change AS balance_expected,
           wallet.id IS NOT NULL AS has_wallet, wallet.locked, wallet.asset_id AS wallet_asset_id
      FROM along
      LEFT JOIN LATERAL (
            SELECT id, locked, asset_id FROM wallets WHERE shard = $1 AND id = along.wallet_id OFFSET 0
           ) AS wallet ON true
     WHERE $2::uuid IS NULL OR (along.wallet_id, along.position) > ($2, $3::bigint)
)
(SELECT 1 AS law, 'entry_is_in_the_asset_of_its_wallet' AS check_name,
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position) AS location,
        format('asset %s', wallet_asset_id) AS expected, format('asset %s', asset_id) AS found
   FROM judged WHERE asset_id <> wallet_asset_id ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 2, 'entry_has_its_wallet',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('wallet %s', wallet_id), 'none'
   FROM judged WHERE NOT has_wallet ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 2, 'unlocked_entry_has_no_balance',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        'balance_after null', balance_after::text
   FROM judged WHERE NOT locked AND balance_after IS NOT NULL ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'versions_have_no_gap',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        position_expected::text, position::text
   FROM judged WHERE locked AND position <> position_expected ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'balances_follow_each_other',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        balance_expected::text, coalesce(balance_after::text, 'null')
   FROM judged WHERE locked AND balance_after IS DISTINCT FROM balance_expected ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'times_never_run_backwards',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('not before %s', created_before), created_at::text
   FROM judged WHERE locked AND created_at < created_before ORDER BY wallet_id, position LIMIT 1);

-- name: check_strays
-- in:  $1 shard
-- why: deltas and snapshots of wallets that are no unlocked ones; each wallet is one step through the index
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
-- why: from snapshot to snapshot, so that each delta is read once
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
           mark.seq AS watermark_seq
      FROM along
     CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount), 0) AS amount
              FROM system_deltas
             WHERE shard = $1 AND wallet_id = $2
               AND (along.seq_before IS NULL OR seq > along.seq_before)
               AND seq <= along.upto_seq
           ) AS since
      LEFT JOIN watermarks AS mark ON mark.shard = $1
     WHERE $3::bigint IS NULL OR along.upto_seq > $3
)
(SELECT 2 AS law, 'snapshot_is_the_sum_of_deltas' AS check_name,
        format('system_snapshots (shard %s, wallet_id %s, upto_seq %s)', $1, $2, upto_seq) AS location,
        balance_expected::text AS expected, balance::text AS found
   FROM judged WHERE balance <> balance_expected ORDER BY upto_seq LIMIT 1)
UNION ALL
(SELECT 2, 'snapshot_is_settled',
        format('system_snapshots (shard %s, wallet_id %s, upto_seq %s)', $1, $2, upto_seq),
        format('up to the watermark %s at most', coalesce(watermark_seq::text, '(none)')), upto_seq::text
   FROM judged WHERE upto_seq > coalesce(watermark_seq, 0) ORDER BY upto_seq LIMIT 1);

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
-- why: over all shards; it follows from the checks above, and does not trust them
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
