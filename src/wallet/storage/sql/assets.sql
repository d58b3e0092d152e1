-- Assets and their system wallets. What is read here is fixed at creation, so it may be cached for ever.

-- name: load_assets
-- in:  $1 codes text[] or null, $2 system wallets' ids uuid[] or null; both null: all
-- out: the assets with one of these codes or system wallets
SELECT id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id
  FROM assets
 WHERE ($1::text[] IS NULL AND $2::uuid[] IS NULL)
    OR code = ANY($1::text[])
    OR treasury_wallet_id = ANY($2::uuid[])
    OR revenue_wallet_id = ANY($2::uuid[])
    OR breakage_wallet_id = ANY($2::uuid[]);
