-- Claims: their terms must be those that answers told, and their holds and redemptions must follow from these.

-- name: check_claims
-- in:  $1 shard, $2 after hold id, $3 up to hold id
-- why: both sides by hold. All transactions of a claim tell its terms, and those of another hold none
WITH claim AS MATERIALIZED (
    SELECT id, amount, uses, once_per_user, created_at,
           concat_ws(', ', amount, uses, once_per_user, encode(code_hash, 'hex')) AS terms
      FROM claims
     WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::uuid IS NULL OR id <= $3)
),
told AS (
    SELECT posted.id, posted.hold_id,
           concat_ws(
            ', ', posted.terms ->> 'amount', posted.terms ->> 'uses', (posted.terms ->> 'once_per_user')::boolean,
            posted.terms ->> 'code_hash'
           ) AS terms
      FROM (
            SELECT id, hold_id, details::jsonb -> 'hold' -> 'claim' AS terms
              FROM transactions
             WHERE shard = $1
               AND ($2::uuid IS NULL OR hold_id > $2)
               AND ($3::uuid IS NULL OR hold_id <= $3)
               AND hold_id IS NOT NULL
           ) AS posted
),
told_compared AS (
    SELECT coalesce(told.hold_id, claim.id) AS claim_id, told.id AS transaction_id,
           coalesce(claim.terms, '') AS terms, coalesce(told.terms, '') AS told
      FROM told
      FULL JOIN claim ON claim.id = told.hold_id
),
held_compared AS (
    SELECT claim.id,
           concat_ws(', ', claim.amount::numeric * claim.uses, 'for nobody, released at its expiry, with its lots',
                     claim.created_at) AS expected,
           concat_ws(', ', hold.amount,
                     concat_ws(
                      ', ', CASE WHEN hold.target_wallet_id IS NULL THEN 'for nobody' ELSE 'for a wallet' END,
                      CASE WHEN hold.expires_at IS NULL THEN 'without an expiry'
                           WHEN hold.capture_at_expiry THEN 'captured at its expiry'
                           ELSE 'released at its expiry' END,
                      CASE WHEN hold.carries_lots THEN 'with its lots' ELSE 'without its lots' END
                     ),
                     hold.created_at) AS found
      FROM claim
      LEFT JOIN LATERAL (
            SELECT amount, target_wallet_id, expires_at, capture_at_expiry, carries_lots, created_at
              FROM holds
             WHERE shard = $1 AND id = claim.id
            OFFSET 0
           ) AS hold ON true
),
redeemed AS (
    SELECT claim.id AS claim_id, claim.amount, claim.once_per_user, step.transaction_id, step.wallet_id,
           step.position, step.captured, step.released, owner.kind AS redeemer_kind, owner.user_id
      FROM claim
      JOIN (
            SELECT hold_id, transaction_id, wallet_id, position, captured, released
              FROM hold_steps
             WHERE shard = $1
               AND ($2::uuid IS NULL OR hold_id > $2)
               AND ($3::uuid IS NULL OR hold_id <= $3)
               AND kind = 'capture'
           ) AS step ON step.hold_id = claim.id
      LEFT JOIN LATERAL (
            SELECT wallet_id
              FROM ledger_entries
             WHERE transaction_id = step.transaction_id AND shard = $1 AND direction = 1
            OFFSET 0
           ) AS credit ON true
      LEFT JOIN LATERAL (
            SELECT kind, user_id FROM wallets WHERE shard = $1 AND id = credit.wallet_id OFFSET 0
           ) AS owner ON true
),
noted_compared AS (
    SELECT coalesce(redeemed.claim_id, noted.claim_id) AS claim_id,
           coalesce(redeemed.transaction_id, noted.transaction_id) AS transaction_id,
           redeemed.user_id, redeemed.transaction_id AS redeemed_by, noted.user_id AS user_noted
      FROM (SELECT * FROM redeemed WHERE once_per_user) AS redeemed
      FULL JOIN (
            SELECT claim_id, user_id, transaction_id
              FROM claim_redemptions
             WHERE shard = $1 AND ($2::uuid IS NULL OR claim_id > $2) AND ($3::uuid IS NULL OR claim_id <= $3)
           ) AS noted
        ON noted.claim_id = redeemed.claim_id
       AND noted.transaction_id = redeemed.transaction_id
)
(SELECT 7 AS law, 'claim_is_what_was_told' AS check_name,
        CASE WHEN transaction_id IS NULL THEN format('claims (shard %s, id %s)', $1, claim_id)
             ELSE format('transactions (shard %s, id %s)', $1, transaction_id) END AS location,
        CASE WHEN terms = '' THEN 'no claim' ELSE terms END AS expected,
        CASE WHEN told = '' THEN 'no claim' ELSE told END AS found
   FROM told_compared
  WHERE terms <> told
  ORDER BY claim_id, transaction_id LIMIT 1)
UNION ALL
(SELECT 2, 'claim_is_a_hold_of_its_uses', format('claims (shard %s, id %s)', $1, id), expected, found
   FROM held_compared WHERE expected <> found ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'redemption_moves_one_use_to_a_user',
        format('hold_steps (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('%s to a wallet of kind user, nothing released', amount),
        format('%s to a wallet of kind %s, %s released', captured, coalesce(redeemer_kind, 'none'), released)
   FROM redeemed
  WHERE captured <> amount OR released <> 0 OR redeemer_kind IS DISTINCT FROM 'user'
  ORDER BY claim_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 7, 'redemption_of_a_user_is_noted',
        CASE WHEN redeemed_by IS NULL
             THEN format('claim_redemptions (shard %s, claim_id %s, user_id %s)', $1, claim_id, user_noted)
             ELSE format('transactions (shard %s, id %s)', $1, redeemed_by) END,
        CASE WHEN redeemed_by IS NULL THEN format('a redemption by transaction %s', transaction_id)
             ELSE format('noted of user %s', coalesce(user_id::text, 'none')) END,
        CASE WHEN redeemed_by IS NULL THEN 'none'
             ELSE format('noted of user %s', coalesce(user_noted::text, 'none')) END
   FROM noted_compared
  WHERE redeemed_by IS NULL OR user_id IS NULL OR user_noted IS DISTINCT FROM user_id
  ORDER BY claim_id, transaction_id LIMIT 1);
