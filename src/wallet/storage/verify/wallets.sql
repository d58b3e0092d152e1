-- Compares rows of wallets with the history, the holds and the lots that they follow from.

-- name: next_wallets
-- in:  $1 shard, $2 after id or null, $3 how many
SELECT count(*) AS rows, (array_agg(id ORDER BY id DESC))[1] AS id
  FROM (
        SELECT id FROM wallets WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
       ) AS next;

-- name: check_wallets
-- in:  $1 shard, $2 after id, $3 up to id
-- why: check_history proves that balance and held follow along a wallet's history, so the last ones are their sums;
--      of open holds and of lots there are few, and they are summed here
WITH reserved AS (
    SELECT wallet_id, sum(amount::numeric - captured - released) AS held, min(expires_at) AS due_at
      FROM holds
     WHERE shard = $1
       AND status = 'open'
       AND ($2::uuid IS NULL OR wallet_id > $2)
       AND ($3::uuid IS NULL OR wallet_id <= $3)
     GROUP BY wallet_id
),
parcelled AS (
    SELECT wallet_id, sum(remaining::numeric) AS remaining, min(expires_at) FILTER (WHERE remaining > held) AS due_at
      FROM lots
     WHERE shard = $1
       AND remaining > 0
       AND ($2::uuid IS NULL OR wallet_id > $2)
       AND ($3::uuid IS NULL OR wallet_id <= $3)
     GROUP BY wallet_id
),
judged AS MATERIALIZED (
    SELECT wallet.id, wallet.locked, wallet.balance, wallet.held, wallet.version, wallet.lot_balance,
           wallet.last_entry_at, wallet.asset_id, wallet.user_id, wallet.kind, wallet.next_due_at, wallet.closed_at,
           assets.id AS known_asset_id, owner.id AS known_user_id,
           wallet.kind = 'user' OR (wallet.kind = 'treasury' AND assets.max_supply IS NOT NULL) AS must_lock,
           entry.balance_after AS entry_balance, step.held_after AS step_held,
           greatest(entry.position, step.position, event.position) AS last_position,
           CASE greatest(entry.position, step.position, event.position)
                WHEN entry.position THEN entry.created_at
                WHEN step.position THEN step.created_at
                ELSE event.created_at END AS last_at,
           coalesce(reserved.held, 0) AS reserved, coalesce(parcelled.remaining, 0) AS parcelled,
           least(reserved.due_at, parcelled.due_at) AS due_at
      FROM wallets AS wallet
      LEFT JOIN assets ON assets.id = wallet.asset_id
      LEFT JOIN reserved ON reserved.wallet_id = wallet.id
      LEFT JOIN parcelled ON parcelled.wallet_id = wallet.id
      LEFT JOIN LATERAL (
            SELECT id FROM users WHERE shard = $1 AND id = wallet.user_id OFFSET 0
           ) AS owner ON true
      LEFT JOIN LATERAL (
            SELECT position, balance_after, created_at
              FROM ledger_entries
             WHERE shard = $1 AND wallet_id = wallet.id
             ORDER BY position DESC
             LIMIT 1
           ) AS entry ON wallet.locked
      LEFT JOIN LATERAL (
            SELECT position, held_after, created_at
              FROM hold_steps
             WHERE shard = $1 AND wallet_id = wallet.id
             ORDER BY position DESC
             LIMIT 1
           ) AS step ON wallet.locked
      LEFT JOIN LATERAL (
            SELECT position, created_at
              FROM wallet_events
             WHERE shard = $1 AND wallet_id = wallet.id
             ORDER BY position DESC
             LIMIT 1
           ) AS event ON wallet.locked
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
        'balance 0, held 0, version 0, lot_balance 0, no times',
        format(
            'balance %s, held %s, version %s, lot_balance %s, last_entry_at %s, next_due_at %s', balance, held, version,
            lot_balance, coalesce(last_entry_at::text, 'null'), coalesce(next_due_at::text, 'null')
        )
   FROM judged
  WHERE NOT locked
    AND (
        balance <> 0 OR held <> 0 OR version <> 0 OR lot_balance <> 0
        OR last_entry_at IS NOT NULL OR next_due_at IS NOT NULL
    )
  ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'held_is_the_sum_of_open_holds', format('wallets (shard %s, id %s)', $1, id), reserved::text, held::text
   FROM judged WHERE held <> reserved ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'held_is_the_sum_of_hold_steps', format('wallets (shard %s, id %s)', $1, id),
        coalesce(step_held, 0)::text, held::text
   FROM judged WHERE locked AND held <> coalesce(step_held, 0) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'lot_balance_is_the_sum_of_lots', format('wallets (shard %s, id %s)', $1, id),
        parcelled::text, lot_balance::text
   FROM judged WHERE lot_balance <> parcelled ORDER BY id LIMIT 1)
UNION ALL
(SELECT 3, 'wallet_is_locked_by_its_kind', format('wallets (shard %s, id %s)', $1, id),
        format('locked = %s for a %s wallet', must_lock, kind), format('locked = %s', locked)
   FROM judged WHERE locked <> must_lock ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'version_is_that_of_the_last_entry', format('wallets (shard %s, id %s)', $1, id),
        coalesce(last_position, 0)::text, version::text
   FROM judged WHERE locked AND version <> coalesce(last_position, 0) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'last_entry_at_is_that_of_the_last_entry', format('wallets (shard %s, id %s)', $1, id),
        coalesce(last_at::text, 'null'), coalesce(last_entry_at::text, 'null')
   FROM judged WHERE locked AND last_entry_at IS DISTINCT FROM last_at ORDER BY id LIMIT 1)
UNION ALL
(SELECT 7, 'closed_wallet_is_empty', format('wallets (shard %s, id %s)', $1, id),
        'balance 0, held 0, lot_balance 0', format('balance %s, held %s, lot_balance %s', balance, held, lot_balance)
   FROM judged
  WHERE closed_at IS NOT NULL AND (balance <> 0 OR held <> 0 OR lot_balance <> 0) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 7, 'nothing_is_due_before_next_due_at', format('wallets (shard %s, id %s)', $1, id),
        format('not after %s', due_at), coalesce(next_due_at::text, 'null')
   FROM judged WHERE due_at IS NOT NULL AND (next_due_at > due_at) IS NOT false ORDER BY id LIMIT 1);

-- name: check_standings
-- in:  $1 shard, $2 after id, $3 up to id
-- why: each field has the value of the last event that names it, and the default before. A wallet is merged into an
--      open one, so along merges ends come later. Merges of one instant are followed, to see that they do not lead back
WITH RECURSIVE named AS (
    SELECT wallet_id, jsonb_object_agg(key, value) AS fields
      FROM (
            SELECT DISTINCT ON (event.wallet_id, field.key) event.wallet_id, field.key, field.value
              FROM wallet_events AS event
             CROSS JOIN LATERAL jsonb_each(event.changes::jsonb) AS field
             WHERE event.shard = $1
               AND ($2::uuid IS NULL OR event.wallet_id > $2)
               AND ($3::uuid IS NULL OR event.wallet_id <= $3)
             ORDER BY event.wallet_id, field.key, event.position DESC
           ) AS last
     GROUP BY wallet_id
),
ended AS (
    SELECT DISTINCT ON (wallet_id) wallet_id, kind, created_at
      FROM wallet_events
     WHERE shard = $1
       AND kind IN ('close', 'reopen', 'merge_out')
       AND ($2::uuid IS NULL OR wallet_id > $2)
       AND ($3::uuid IS NULL OR wallet_id <= $3)
     ORDER BY wallet_id, position DESC
),
special AS MATERIALIZED (
    SELECT wallet.*, named.fields, ended.kind AS end_kind, ended.created_at AS end_at,
           CASE WHEN wallet.kind = 'treasury' THEN assets.max_supply END AS cap
      FROM wallets AS wallet
      LEFT JOIN assets ON assets.id = wallet.asset_id
      LEFT JOIN named ON named.wallet_id = wallet.id
      LEFT JOIN ended ON ended.wallet_id = wallet.id
     WHERE wallet.shard = $1
       AND ($2::uuid IS NULL OR wallet.id > $2)
       AND ($3::uuid IS NULL OR wallet.id <= $3)
       AND (
            named.fields IS NOT NULL OR ended.kind IS NOT NULL OR wallet.closed_at IS NOT NULL
            OR wallet.merged_into IS NOT NULL OR wallet.freeze_outgoing OR wallet.freeze_incoming
            OR wallet.overdraft_limit <> 0
            OR coalesce(wallet.max_balance, wallet.limit_day, wallet.limit_month) IS NOT NULL
           )
),
judged AS MATERIALIZED (
    SELECT special.id, field.name, field.expected, field.found
      FROM special
     CROSS JOIN LATERAL (
            VALUES
            ('overdraft_limit', coalesce(fields ->> 'overdraft_limit', cap::text, '0'), overdraft_limit::text),
            ('max_balance', fields ->> 'max_balance', max_balance::text),
            ('limit_day', fields ->> 'limit_day', limit_day::text),
            ('limit_month', fields ->> 'limit_month', limit_month::text),
            ('freeze_outgoing', coalesce(fields ->> 'freeze_outgoing', 'false'), freeze_outgoing::text),
            ('freeze_incoming', coalesce(fields ->> 'freeze_incoming', 'false'), freeze_incoming::text),
            ('label', CASE WHEN fields ? 'label' THEN fields ->> 'label' ELSE label END, label),
            ('metadata', CASE WHEN fields ? 'metadata' THEN fields ->> 'metadata' ELSE metadata END, metadata),
            ('closed_at', CASE WHEN end_kind <> 'reopen' THEN end_at::text END, closed_at::text),
            ('merged_into', CASE WHEN end_kind = 'merge_out' THEN fields ->> 'merged_into' END, merged_into::text)
           ) AS field (name, expected, found)
     WHERE field.expected IS DISTINCT FROM field.found
),
merged AS MATERIALIZED (
    SELECT special.id, special.merged_into, special.closed_at, special.asset_id,
           target.id AS target_id, target.asset_id AS target_asset_id, target.kind AS target_kind,
           target.merged_into AS target_merged_into, target.closed_at AS target_closed_at
      FROM special
      LEFT JOIN LATERAL (
            SELECT id, asset_id, kind, merged_into, closed_at
              FROM wallets
             WHERE shard = $1 AND id = special.merged_into
            OFFSET 0
           ) AS target ON true
     WHERE special.merged_into IS NOT NULL
),
followed AS (
    SELECT id, target_id AS at_id, closed_at
      FROM merged
     WHERE target_merged_into IS NOT NULL AND target_closed_at = closed_at
    UNION
    SELECT followed.id, next.merged_into, followed.closed_at
      FROM followed
     CROSS JOIN LATERAL (
            SELECT merged_into
              FROM wallets
             WHERE shard = $1 AND id = followed.at_id AND closed_at = followed.closed_at AND merged_into IS NOT NULL
            OFFSET 0
           ) AS next
     WHERE followed.at_id <> followed.id
)
(SELECT 7 AS law, 'wallet_is_what_its_events_say' AS check_name,
        format('wallets (shard %s, id %s)', $1, id) AS location,
        format('%s %s', name, coalesce(expected, 'null')) AS expected, coalesce(found, 'null') AS found
   FROM judged ORDER BY id, name LIMIT 1)
UNION ALL
(SELECT 7, 'merged_into_is_a_wallet_like_it', format('wallets (shard %s, id %s)', $1, id),
        format('a user''s wallet of asset %s', asset_id),
        CASE WHEN target_id IS NULL THEN 'none'
             ELSE format('a %s wallet of asset %s', target_kind, target_asset_id) END
   FROM merged
  WHERE target_id IS NULL OR target_asset_id <> asset_id OR target_kind <> 'user'
  ORDER BY id LIMIT 1)
UNION ALL
(SELECT 7, 'merges_end_somewhere', format('wallets (shard %s, id %s)', $1, id),
        format('a wallet that was open at %s', closed_at), format('%s, closed at %s', merged_into, target_closed_at)
   FROM merged
  WHERE target_closed_at < closed_at
     OR EXISTS (SELECT FROM followed WHERE followed.id = merged.id AND followed.at_id = merged.id)
  ORDER BY id LIMIT 1);
