-- Assets and their system wallets. What is read here is fixed at creation, so it may be cached for ever.

-- name: load_assets
-- in:  $1 codes text[], $2 system wallets' ids uuid[], $3 ids integer[]; each may be null, all null: every asset
-- out: the assets with one of these codes, system wallets or ids
SELECT id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id
  FROM assets
 WHERE ($1::text[] IS NULL AND $2::uuid[] IS NULL AND $3::integer[] IS NULL)
    OR code = ANY($1::text[])
    OR treasury_wallet_id = ANY($2::uuid[])
    OR revenue_wallet_id = ANY($2::uuid[])
    OR breakage_wallet_id = ANY($2::uuid[])
    OR id = ANY($3::integer[]);
