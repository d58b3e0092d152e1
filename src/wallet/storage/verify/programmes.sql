-- Programmes: their attachments and their grants.

-- name: next_programme_wallets
-- in:  $1 shard, $2 after programme or null, $3 and wallet, $4 how many
SELECT count(*) AS rows, (array_agg(programme_id ORDER BY programme_id DESC, wallet_id DESC))[1] AS programme_id,
       (array_agg(wallet_id ORDER BY programme_id DESC, wallet_id DESC))[1] AS wallet_id
  FROM (
        SELECT programme_id, wallet_id
          FROM programme_wallets
         WHERE shard = $1 AND ($2::uuid IS NULL OR (programme_id, wallet_id) > ($2, $3::uuid))
         ORDER BY programme_id, wallet_id
         LIMIT $4
       ) AS next;

-- name: check_programme_wallets
-- in:  $1 shard, $2 after programme, $3 and wallet, $4 up to programme, $5 and wallet
-- why: period k starts k times `per` after the anchor, in UTC. A row need not say yet that no period starts at the
--      programme's end or later. A granted period is not the next one
WITH judged AS MATERIALIZED (
    SELECT attached.programme_id, attached.wallet_id, attached.next_at, attached.next_period, attached.ended_at,
           programme.id AS known_programme_id, programme.ends_at, programme.asset_id,
           wallet.asset_id AS wallet_asset_id, wallet.kind,
           (attached.anchor_at AT TIME ZONE 'UTC' + attached.next_period * CASE programme.per
                WHEN 'day' THEN interval '1 day' WHEN 'week' THEN interval '7 days' ELSE interval '1 month'
            END) AT TIME ZONE 'UTC' AS starts_at
      FROM programme_wallets AS attached
      LEFT JOIN programmes AS programme ON programme.shard = $1 AND programme.id = attached.programme_id
      LEFT JOIN LATERAL (
            SELECT asset_id, kind FROM wallets WHERE shard = $1 AND id = attached.wallet_id OFFSET 0
           ) AS wallet ON true
     WHERE attached.shard = $1
       AND ($2::uuid IS NULL OR (attached.programme_id, attached.wallet_id) > ($2, $3::uuid))
       AND ($4::uuid IS NULL OR (attached.programme_id, attached.wallet_id) <= ($4, $5::uuid))
)
(SELECT 7 AS law, 'attachment_has_its_programme' AS check_name,
        format('programme_wallets (shard %s, programme_id %s, wallet_id %s)', $1, programme_id, wallet_id) AS location,
        format('programme %s', programme_id) AS expected, 'none' AS found
   FROM judged WHERE known_programme_id IS NULL ORDER BY programme_id, wallet_id LIMIT 1)
UNION ALL
(SELECT 7, 'attachment_has_its_wallet',
        format('programme_wallets (shard %s, programme_id %s, wallet_id %s)', $1, programme_id, wallet_id),
        format('a user''s wallet of asset %s', asset_id),
        CASE WHEN kind IS NULL THEN 'none' ELSE format('a %s wallet of asset %s', kind, wallet_asset_id) END
   FROM judged
  WHERE kind IS DISTINCT FROM 'user' OR wallet_asset_id <> asset_id
  ORDER BY programme_id, wallet_id LIMIT 1)
UNION ALL
(SELECT 7, 'next_at_is_the_start_of_the_next_period',
        format('programme_wallets (shard %s, programme_id %s, wallet_id %s)', $1, programme_id, wallet_id),
        format('the start of period %s, %s', next_period, starts_at), coalesce(next_at::text, 'null')
   FROM judged
  WHERE ended_at IS NULL
    AND CASE WHEN next_at IS NULL THEN (starts_at >= ends_at) IS NOT true ELSE next_at <> starts_at END
  ORDER BY programme_id, wallet_id LIMIT 1)
UNION ALL
(SELECT 7, 'next_period_was_not_granted',
        format('programme_wallets (shard %s, programme_id %s, wallet_id %s)', $1, programme_id, wallet_id),
        format('no grant for period %s yet', next_period), format('a grant for %s', next_at)
   FROM judged
  WHERE next_at IS NOT NULL
    AND EXISTS (
        SELECT FROM transactions
         WHERE shard = $1
           AND reference_id = format('grant:%s:%s:%s', judged.programme_id, judged.wallet_id,
                                     to_char(judged.next_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
           AND origin = 'service'
        OFFSET 0
    )
  ORDER BY programme_id, wallet_id LIMIT 1);

-- name: check_grants
-- in:  $1 shard, $2 after transaction id, $3 up to transaction id
-- why: a grant's reference names its programme and the wallet that was attached then
WITH granted AS (
    SELECT t.id, split_part(t.reference_id, ':', 2)::uuid AS programme_id,
           split_part(t.reference_id, ':', 3)::uuid AS wallet_id
      FROM transactions AS t
     WHERE t.shard = $1
       AND ($2::uuid IS NULL OR t.id > $2)
       AND ($3::uuid IS NULL OR t.id <= $3)
       AND t.type = 'grant'
       AND t.reference_id ~ '^grant(:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}){2}:'
),
judged AS MATERIALIZED (
    SELECT granted.id, granted.programme_id, granted.wallet_id,
           programme.amount AS programme_amount, entered.amount,
           attached.programme_id IS NOT NULL AS is_attached
      FROM granted
      LEFT JOIN LATERAL (
            SELECT amount FROM programmes WHERE shard = $1 AND id = granted.programme_id OFFSET 0
           ) AS programme ON true
      LEFT JOIN LATERAL (
            SELECT programme_id
              FROM programme_wallets
             WHERE shard = $1 AND programme_id = granted.programme_id AND wallet_id = granted.wallet_id
            OFFSET 0
           ) AS attached ON true
      LEFT JOIN LATERAL (
            SELECT sum(amount::numeric) AS amount
              FROM ledger_entries
             WHERE transaction_id = granted.id AND shard = $1 AND direction = 1
            OFFSET 0
           ) AS entered ON true
)
(SELECT 7 AS law, 'grant_has_its_attachment' AS check_name,
        format('transactions (shard %s, id %s)', $1, id) AS location,
        format('wallet %s attached to programme %s', wallet_id, programme_id) AS expected, 'none' AS found
   FROM judged WHERE NOT is_attached ORDER BY id LIMIT 1)
UNION ALL
(SELECT 7, 'grant_is_within_its_programme', format('transactions (shard %s, id %s)', $1, id),
        coalesce(format('at most %s', programme_amount), 'a programme'), amount::text
   FROM judged WHERE amount > programme_amount ORDER BY id LIMIT 1);
