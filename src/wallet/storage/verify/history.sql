-- The history of locked wallets: entries, hold steps and wallet events, one line after the other. Unlocked wallets have
-- entries only, and no entry depends on the one before.

-- name: next_history
-- in:  $1 shard, $2 after wallet id or null, $3 and position or null, $4 how many
SELECT count(*) AS rows, (array_agg(wallet_id ORDER BY wallet_id DESC, position DESC))[1] AS wallet_id,
       (array_agg(position ORDER BY wallet_id DESC, position DESC))[1] AS position
  FROM (
        (SELECT wallet_id, position
           FROM ledger_entries
          WHERE shard = $1 AND ($2::uuid IS NULL OR (wallet_id, position) > ($2, $3::bigint))
          ORDER BY wallet_id, position
          LIMIT $4)
        UNION ALL
        (SELECT wallet_id, position
           FROM hold_steps
          WHERE shard = $1 AND ($2::uuid IS NULL OR (wallet_id, position) > ($2, $3::bigint))
          ORDER BY wallet_id, position
          LIMIT $4)
        UNION ALL
        (SELECT wallet_id, position
           FROM wallet_events
          WHERE shard = $1 AND ($2::uuid IS NULL OR (wallet_id, position) > ($2, $3::bigint))
          ORDER BY wallet_id, position
          LIMIT $4)
        ORDER BY wallet_id, position
        LIMIT $4
       ) AS next;

-- name: check_history
-- in:  $1 shard, $2 after wallet id, $3 and position, $4 up to wallet id, $5 and position
-- why: the state before the range is read first, so that the history continues from range to range. Balance, held and
--      limit are running sums over one window. A movement is judged by its last row in a wallet, and may leave
--      available below zero only if it did not lower it. Refunds may be forced, and an expiry takes what lots have,
--      even if a lowered limit or a forced refund has left the rest below zero
WITH before AS MATERIALIZED (
    SELECT (SELECT max(created_at)
              FROM (
                    SELECT created_at FROM ledger_entries WHERE shard = $1 AND wallet_id = $2 AND position = $3
                    UNION ALL
                    SELECT created_at FROM hold_steps WHERE shard = $1 AND wallet_id = $2 AND position = $3
                    UNION ALL
                    SELECT created_at FROM wallet_events WHERE shard = $1 AND wallet_id = $2 AND position = $3
                   ) AS last) AS created_at,
           (SELECT balance_after
              FROM ledger_entries
             WHERE shard = $1 AND wallet_id = $2 AND position <= $3
             ORDER BY position DESC
             LIMIT 1) AS balance,
           (SELECT held_after
              FROM hold_steps
             WHERE shard = $1 AND wallet_id = $2 AND position <= $3
             ORDER BY position DESC
             LIMIT 1) AS held,
           (SELECT coalesce((changes::jsonb ->> 'overdraft_limit')::numeric, 0)
              FROM wallet_events
             WHERE shard = $1 AND wallet_id = $2 AND position <= $3 AND changes::jsonb ? 'overdraft_limit'
             ORDER BY position DESC
             LIMIT 1) AS overdraft_limit,
           coalesce(
            (SELECT kind <> 'reopen'
               FROM wallet_events
              WHERE shard = $1 AND wallet_id = $2 AND position <= $3 AND kind IN ('close', 'reopen', 'merge_out')
              ORDER BY position DESC
              LIMIT 1), false
           ) AS is_closed
),
events AS (
    SELECT wallet_id, position, created_at, id,
           CASE WHEN named ? 'overdraft_limit'
                THEN coalesce((named ->> 'overdraft_limit')::numeric, 0) END AS overdraft_limit,
           CASE WHEN kind IN ('close', 'reopen', 'merge_out') THEN (kind <> 'reopen')::integer END AS ends
      FROM wallet_events
     CROSS JOIN LATERAL (SELECT changes::jsonb AS named) AS read
     WHERE shard = $1
       AND ($2::uuid IS NULL OR (wallet_id, position) > ($2, $3::bigint))
       AND ($4::uuid IS NULL OR (wallet_id, position) <= ($4, $5::bigint))
),
limits AS (
    SELECT event.wallet_id, event.position,
           event.overdraft_limit - coalesce(
            lag(event.overdraft_limit) OVER (PARTITION BY event.wallet_id ORDER BY event.position),
            CASE WHEN event.wallet_id = $2 THEN before.overdraft_limit END, 0
           ) AS limit_change
      FROM events AS event, before
     WHERE event.overdraft_limit IS NOT NULL
),
ends AS (
    SELECT event.wallet_id, event.position,
           event.ends - coalesce(
            lag(event.ends) OVER (PARTITION BY event.wallet_id ORDER BY event.position),
            CASE WHEN event.wallet_id = $2 THEN before.is_closed::integer END, 0
           ) AS end_change
      FROM events AS event, before
     WHERE event.ends IS NOT NULL
),
along AS (
    SELECT wallet_id, position, created_at, transaction_id, asset_id, direction * amount::numeric AS change,
           balance_after::numeric AS balance_after, 0::numeric AS held_change, 0::numeric AS limit_change,
           0 AS end_change, 'ledger_entries' AS name, NULL::bigint AS held_after
      FROM ledger_entries
     WHERE shard = $1
       AND ($2::uuid IS NULL OR (wallet_id, position) > ($2, $3::bigint))
       AND ($4::uuid IS NULL OR (wallet_id, position) <= ($4, $5::bigint))
    UNION ALL
    SELECT wallet_id, position, created_at, transaction_id, NULL, 0, NULL, held_change, 0, 0, 'hold_steps', held_after
      FROM hold_steps
     WHERE shard = $1
       AND ($2::uuid IS NULL OR (wallet_id, position) > ($2, $3::bigint))
       AND ($4::uuid IS NULL OR (wallet_id, position) <= ($4, $5::bigint))
    UNION ALL
    SELECT event.wallet_id, event.position, event.created_at, event.id, NULL, 0, NULL, 0,
           coalesce(limits.limit_change, 0), coalesce(ends.end_change, 0), 'wallet_events', NULL
      FROM events AS event
      LEFT JOIN limits ON limits.wallet_id = event.wallet_id AND limits.position = event.position
      LEFT JOIN ends ON ends.wallet_id = event.wallet_id AND ends.position = event.position
),
summed AS (
    SELECT along.*,
           lag(position) OVER chain AS position_before,
           lag(created_at) OVER chain AS created_before,
           sum(change) OVER chain AS change_so_far,
           sum(held_change) OVER chain AS held_so_far,
           sum(limit_change) OVER chain AS limit_so_far,
           sum(end_change) OVER chain - end_change AS ended_before
      FROM along
    WINDOW chain AS (PARTITION BY wallet_id ORDER BY position ROWS UNBOUNDED PRECEDING)
),
judged AS MATERIALIZED (
    SELECT s.wallet_id, s.position, s.created_at, s.transaction_id, s.asset_id, s.name, s.balance_after, s.held_after,
           coalesce(s.position_before, CASE WHEN is_first THEN $3 END, 0) + 1 AS position_expected,
           coalesce(s.created_before, CASE WHEN is_first THEN before.created_at END) AS created_before,
           coalesce(CASE WHEN is_first THEN before.balance END, 0) + s.change_so_far AS balance_expected,
           coalesce(CASE WHEN is_first THEN before.held END, 0) + s.held_so_far AS held_expected,
           coalesce(
            CASE WHEN is_first THEN before.overdraft_limit END,
            CASE WHEN wallet.kind = 'treasury' THEN assets.max_supply END, 0
           ) + s.limit_so_far AS overdraft_limit,
           coalesce(CASE WHEN is_first THEN before.is_closed::integer END, 0) + s.ended_before > 0 AS was_closed,
           wallet.id IS NOT NULL AS has_wallet, wallet.locked, wallet.kind, wallet.asset_id AS wallet_asset_id
      FROM summed AS s
     CROSS JOIN before
     CROSS JOIN LATERAL (SELECT s.wallet_id = $2 AS is_first) AS chain
      LEFT JOIN LATERAL (
            SELECT id, locked, kind, asset_id FROM wallets WHERE shard = $1 AND id = s.wallet_id OFFSET 0
           ) AS wallet ON true
      LEFT JOIN assets ON assets.id = wallet.asset_id
)
(SELECT 1 AS law, 'entry_is_in_the_asset_of_its_wallet' AS check_name,
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position) AS location,
        format('asset %s', wallet_asset_id) AS expected, format('asset %s', asset_id) AS found
   FROM judged WHERE asset_id <> wallet_asset_id ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 2, 'entry_has_its_wallet',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('wallet %s', wallet_id), 'none'
   FROM judged WHERE name = 'ledger_entries' AND NOT has_wallet ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 2, 'step_has_its_wallet', format('%s (shard %s, wallet_id %s, position %s)', name, $1, wallet_id, position),
        'a user''s wallet', coalesce(kind, 'none')
   FROM judged WHERE name = 'hold_steps' AND kind IS DISTINCT FROM 'user' ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 2, 'event_has_its_wallet', format('%s (shard %s, wallet_id %s, position %s)', name, $1, wallet_id, position),
        'a user''s wallet', coalesce(kind, 'none')
   FROM judged WHERE name = 'wallet_events' AND kind IS DISTINCT FROM 'user' ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 2, 'unlocked_entry_has_no_balance',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        'balance_after null', balance_after::text
   FROM judged WHERE NOT locked AND balance_after IS NOT NULL ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 3, 'available_is_not_below_zero',
        format('%s (shard %s, wallet_id %s, position %s)', name, $1, wallet_id, position),
        'an available of at least 0', (balance_expected - held_expected + overdraft_limit)::text
   FROM judged
  WHERE locked
    AND name <> 'wallet_events'
    AND balance_expected - held_expected + overdraft_limit < 0
    AND NOT EXISTS (
            SELECT FROM ledger_entries AS next
             WHERE next.shard = $1 AND next.wallet_id = judged.wallet_id AND next.position = judged.position + 1
               AND next.transaction_id = judged.transaction_id
            OFFSET 0
        )
    AND NOT EXISTS (
            SELECT FROM hold_steps AS next
             WHERE next.shard = $1 AND next.wallet_id = judged.wallet_id AND next.position = judged.position + 1
               AND next.transaction_id = judged.transaction_id
            OFFSET 0
        )
    AND coalesce(
            (SELECT sum(e.direction * e.amount::numeric)
               FROM ledger_entries AS e
              WHERE e.transaction_id = judged.transaction_id AND e.shard = $1 AND e.wallet_id = judged.wallet_id), 0
        ) < coalesce(
            (SELECT sum(step.held_change::numeric)
               FROM hold_steps AS step
              WHERE step.shard = $1 AND step.wallet_id = judged.wallet_id AND step.position <= judged.position
                AND step.transaction_id = judged.transaction_id), 0
        )
    AND NOT EXISTS (
            SELECT FROM transactions AS t
             WHERE t.shard = $1 AND t.id = judged.transaction_id AND t.type IN ('refund', 'expiry')
            OFFSET 0
        )
  ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'versions_have_no_gap', format('%s (shard %s, wallet_id %s, position %s)', name, $1, wallet_id, position),
        position_expected::text, position::text
   FROM judged WHERE locked AND position <> position_expected ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'balances_follow_each_other',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        balance_expected::text, coalesce(balance_after::text, 'null')
   FROM judged
  WHERE locked AND name = 'ledger_entries' AND balance_after IS DISTINCT FROM balance_expected
  ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'held_follows_the_step_before',
        format('hold_steps (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        held_expected::text, held_after::text
   FROM judged
  WHERE name = 'hold_steps' AND held_after <> held_expected
  ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'times_never_run_backwards',
        format('%s (shard %s, wallet_id %s, position %s)', name, $1, wallet_id, position),
        format('not before %s', created_before), created_at::text
   FROM judged WHERE locked AND created_at < created_before ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 7, 'closed_wallet_has_no_movement',
        format('%s (shard %s, wallet_id %s, position %s)', name, $1, wallet_id, position),
        'nothing after the wallet was closed', format('transaction %s', transaction_id)
   FROM judged WHERE was_closed AND name <> 'wallet_events' ORDER BY wallet_id, position LIMIT 1);

-- name: check_events
-- in:  $1 shard, $2 after wallet id, $3 and position, $4 up to wallet id, $5 and position
-- why: only the event of a merge belongs to a transaction
WITH judged AS MATERIALIZED (
    SELECT event.wallet_id, event.position, event.kind, event.seq, event.created_at, event.id,
           batch.seq AS batch_seq, batch.created_at AS batch_at,
           merge.type AS transaction_type
      FROM wallet_events AS event
      LEFT JOIN LATERAL (
            SELECT seq, created_at FROM batches WHERE shard = $1 AND seq = event.seq OFFSET 0
           ) AS batch ON true
      LEFT JOIN LATERAL (
            SELECT type FROM transactions WHERE shard = $1 AND id = event.id AND seq = event.seq OFFSET 0
           ) AS merge ON true
     WHERE event.shard = $1
       AND ($2::uuid IS NULL OR (event.wallet_id, event.position) > ($2, $3::bigint))
       AND ($4::uuid IS NULL OR (event.wallet_id, event.position) <= ($4, $5::bigint))
)
(SELECT 4 AS law, 'event_has_its_batch' AS check_name,
        format('wallet_events (shard %s, wallet_id %s, position %s)', $1, wallet_id, position) AS location,
        format('batch %s', seq) AS expected, 'none' AS found
   FROM judged WHERE batch_seq IS NULL ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'event_has_the_time_of_its_batch',
        format('wallet_events (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        batch_at::text, created_at::text
   FROM judged WHERE created_at <> batch_at ORDER BY wallet_id, position LIMIT 1)
UNION ALL
(SELECT 7, 'event_has_its_transaction',
        format('wallet_events (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        CASE WHEN kind = 'merge_out' THEN 'a transaction of type merge' ELSE 'no transaction' END,
        coalesce(transaction_type, 'none')
   FROM judged
  WHERE transaction_type IS DISTINCT FROM CASE WHEN kind = 'merge_out' THEN 'merge' END
  ORDER BY wallet_id, position LIMIT 1);
